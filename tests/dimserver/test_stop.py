"""A stop, as a user and an app see it: what is waited for is said, streams can say goodbye, tasks have the drain."""

from __future__ import annotations

import pathlib
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

Start = Callable[..., Any]

APP = """
import asyncio, time

tasks = set()

def begin(coroutine):
    task = asyncio.get_running_loop().create_task(coroutine)
    tasks.add(task)
    task.add_done_callback(tasks.discard)

async def work(seconds, name):
    try:
        await asyncio.sleep(seconds)
        print(f"{name} done", flush=True)
    except asyncio.CancelledError:
        print(f"{name} cancelled", flush=True)
        raise

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                begin(work(1000, "service"))
            else:
                print("lifespan ends", flush=True)
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/task":
        begin(work(1.0, "task"))
    elif scope["path"] == "/endless":
        begin(work(1000, "task"))
    elif scope["path"] == "/events":
        await send({"type": "http.response.body", "body": b"begun ", "more_body": True})
        assert (await receive())["type"] == "http.disconnect"
        print("told", flush=True)
        await send({"type": "http.response.body", "body": b"goodbye"})
        return
    elif scope["path"] == "/leaves":
        await send({"type": "http.response.body", "body": b"begun ", "more_body": True})
        await receive()
        return
    elif scope["path"] == "/slow":
        await asyncio.sleep(1.2)
    await send({"type": "http.response.body", "body": b"whole"})
    if scope["path"] == "/after":
        await work(1.0, "after")
"""


@pytest.fixture
def program(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "stops.py").write_text(APP)
    return tmp_path


def run(child: Start, program: pathlib.Path, *words: str) -> Any:
    return child("run", "stops:app", "--port", "0", *words, cwd=program)


def test_a_stop_says_what_it_waits_for(child: Start, program: pathlib.Path) -> None:
    server = run(child, program, "--workers", "2", "--drain", "8s")
    slow = [server.connect().get("/slow") for _ in range(3)]
    stream = server.connect().get("/events")
    time.sleep(0.2)
    server.hint(signal.SIGINT)
    assert server.process.stdout.readline() == (
        b"dimserver: waiting for 3 requests, 1 stream; Ctrl-C again ends them now\n"
    )
    assert [wire.answer()[2] for wire in slow] == [b"whole"] * 3
    code, out, _ = server.end(signal.SIGINT)
    assert code == 0
    assert "1 cut off at the end" in out
    assert stream.rest().endswith(b"begun \r\n")


def test_a_stop_that_waits_for_nothing_says_nothing(child: Start, program: pathlib.Path) -> None:
    server = run(child, program)
    server.connect().get("/").answer()
    assert "waiting" not in server.end()[1]


def test_a_program_of_its_own_says_it_too(child: Start, program: pathlib.Path) -> None:
    (program / "own.py").write_text(
        "import time\nfrom dimserver import App\napp = App()\n"
        "@app.get('/', blocking=True)\ndef slow(request):\n    time.sleep(1.2)\n    return 'slow'\napp.run(port=0)\n"
    )
    server = child(cwd=program, module=("own.py",))
    wire = server.connect().get("/")
    time.sleep(0.2)
    server.hint(signal.SIGTERM)
    assert server.process.stdout.readline() == (
        b"dimserver: waiting for 1 request; a second signal ends them now\n"
    )  # fmt: skip
    assert wire.answer()[2] == b"slow"
    assert server.end(0)[0] == 0


@pytest.mark.parametrize("loop", ["asyncio", pytest.param("auto", marks=pytest.mark.slow)])
def test_a_stream_is_told_in_time_to_say_goodbye(child: Start, program: pathlib.Path, loop: str) -> None:
    server = run(child, program, "--drain", "2s", "--loop", loop)
    stream, leaves = server.connect().get("/events"), server.connect().get("/leaves")
    time.sleep(0.2)
    begun = time.monotonic()
    server.hint(signal.SIGTERM)
    assert stream.rest().endswith(b"begun \r\n7\r\ngoodbye\r\n0\r\n\r\n")
    assert 1.2 < time.monotonic() - begun < 1.9  # a quarter of the drain before its end
    assert leaves.rest().endswith(b"begun \r\n")
    code, out, err = server.end(0)
    assert code == 0
    assert "told\n" in out
    assert "Traceback" not in err


@pytest.mark.parametrize("path", ["/task", "/after"])
def test_a_task_has_the_drain_and_the_lifespan_ends_after_it(child: Start, program: pathlib.Path, path: str) -> None:
    server = run(child, program, "--drain", "10s")
    assert server.connect().get(path, "Connection: close").answer()[2] == b"whole"
    code, out, err = server.end()
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines.index(f"{path[1:]} done") < lines.index("lifespan ends") < lines.index("service cancelled")


def test_a_task_that_does_not_end_leaves_the_lifespan_its_time(child: Start, program: pathlib.Path) -> None:
    server = run(child, program, "--drain", "2s")
    server.connect().get("/endless").answer()
    begun = time.monotonic()
    code, out, err = server.end()
    assert (code, err) == (0, "")
    assert 1.2 < time.monotonic() - begun < 5
    assert "waiting for the app to end; a second signal ends it now\n" in out
    assert "task cancelled" in out
    assert out.index("lifespan ends") < out.index("task cancelled")


def test_a_second_signal_cancels_tasks_at_once(child: Start, program: pathlib.Path) -> None:
    server = run(child, program)
    server.connect().get("/endless").answer()
    server.hint()
    time.sleep(0.3)
    begun = time.monotonic()
    code, out, _ = server.end()
    assert code == 0
    assert time.monotonic() - begun < 5
    assert "task cancelled" in out
