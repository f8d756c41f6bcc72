"""The lifespan of an app by itself: every word it may say, and every way it may end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.support.waiting import PATIENCE

from dimserver.errors import AppStartError
from dimserver.gateway.lifespan import Lifespan


def live(app: Any, required: bool, between: Callable[[], Awaitable[object]] | None = None) -> tuple[Any, list[Any]]:
    """Start and stop `app`; its state, and what was reported."""
    reports: list[Any] = []
    state: dict[str, Any] = {}

    async def main() -> None:
        lifespan = Lifespan(app, required, state, lambda *what: reports.append(what))
        await asyncio.wait_for(lifespan.startup(), PATIENCE)
        if between is not None:
            await between()
        await asyncio.wait_for(lifespan.shutdown(), PATIENCE)
        await asyncio.wait_for(lifespan.shutdown(), PATIENCE)  # again is fine
        for _ in range(5):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main(), debug=True)
    return state, reports


def script(*steps: Any) -> Any:
    """An app that receives or sends what `steps` say: "receive", a message, or an exception to raise."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])
        scope["state"]["made"] = True
        for step in steps:
            if step == "receive":
                seen.append((await receive())["type"])
            elif isinstance(step, str):
                await send({"type": step})
            elif isinstance(step, dict):
                await send(step)
            else:
                raise step

    app.seen = seen  # type: ignore[attr-defined]
    return app


WHOLE = ("receive", "lifespan.startup.complete", "receive", "lifespan.shutdown.complete")


@pytest.mark.parametrize("required", [False, True])
def test_a_whole_life(required: bool) -> None:
    app = script(*WHOLE)
    assert live(app, required) == ({"made": True}, [])
    assert app.seen == ["lifespan", "lifespan.startup", "lifespan.shutdown"]


@pytest.mark.parametrize(
    ("steps", "fault"),
    [
        (("receive", {"type": "lifespan.startup.failed", "message": "no database"}), "failed to start: no database"),
        (("receive", "lifespan.startup.failed"), "failed to start: it gives no reason"),
    ],
)
@pytest.mark.parametrize("required", [False, True])
def test_an_app_that_cannot_start(steps: Any, fault: str, required: bool) -> None:
    with pytest.raises(AppStartError, match=fault):
        live(script(*steps), required)


@pytest.mark.parametrize(
    "steps", [(LookupError("lifespan?"),), ("receive", LookupError("lifespan?")), ("what", "receive"), ()]
)
def test_an_app_that_knows_no_lifespan(steps: Any) -> None:
    assert live(script(*steps), False)[1] == []
    with pytest.raises(AppStartError, match=r"failed to start|without lifespan\.startup\.complete"):
        live(script(*steps), True)


def test_an_app_that_fails_when_it_stops() -> None:
    steps = (*WHOLE[:3], {"type": "lifespan.shutdown.failed", "message": "still busy"})
    assert live(script(*steps), False)[1] == [("the ASGI app failed to stop: still busy", None)]
    ((message, error),) = live(script(*WHOLE[:3], LookupError("late")), False)[1]
    assert message == "the lifespan of the ASGI app failed"
    assert isinstance(error, LookupError)


def test_an_app_that_ends_early() -> None:
    async def between() -> None:
        await asyncio.sleep(0.01)

    assert live(script(*WHOLE[:2]), True, between)[1] == []
    ((_, error),) = live(script(*WHOLE[:2], LookupError("early")), True, between)[1]
    assert isinstance(error, LookupError)


def test_words_out_of_place() -> None:
    for steps in (
        ("receive", "lifespan.shutdown.complete"),
        ("receive", "http.response.start"),
    ):
        with pytest.raises(AppStartError, match="Unexpected ASGI message"):
            live(script(*steps), True)
    ((_, error),) = live(script(*WHOLE[:2], "lifespan.startup.complete"), True)[1]
    assert "already sent" in str(error)
