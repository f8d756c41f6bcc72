"""A script of a client in the very loop that serves it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.support.waiting import PATIENCE

from dimcore import Runner


def run_in_loop(
    serve: Callable[..., Any],
    routes: Any,
    task: Any,
    make: Callable[[Any, Runner], Any],
    script: Callable[[Any, Runner], Awaitable[object]],
) -> Any:
    """Serve and run ``script(client, runner)``; nothing of either may be left.  Returns the `Rig`.

    Args:
        serve: the fixture.
        routes: as for it.
        task: class of the runner's tasks, which counts them in `made`.
        make: returns a client, with its `sock`, of a rig and its runner.
        script: what the client does.
    """
    rigs: list[Any] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        task.made = 0
        runner = Runner(loop, task)
        rig = serve(routes, options={"runner": runner})
        rigs.append(rig)
        client = make(rig, runner)
        loop.add_reader(rig.selector.fileno(), rig.turn)
        try:
            await asyncio.wait_for(script(client, runner), PATIENCE)
        finally:
            client.sock.close()
            for connection in rig.connections():
                connection.close()
            runner.close()
            for _ in range(10):
                await asyncio.sleep(0)
            loop.remove_reader(rig.selector.fileno())
            assert runner.waiting == 0
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main(), debug=True)
    return rigs[-1]
