"""An app whose handlers fork, in every way of coming back from it; the same as ASGI, as WSGI and as native handlers.

What a forked child does is written to the file that FORKING_APP_LOG names, a line each.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import Any

from dimserver import App

FD = os.environ.get("FORKING_APP_FD")  # where to listen, said by the app itself
NOTES = os.environ["FORKING_APP_LOG"]


def note(text: str) -> None:
    with pathlib.Path(NOTES).open("a") as notes:
        notes.write(f"{text}\n")


def sleep() -> None:
    time.sleep(60)


def act(what: str) -> str:
    """What a request's path asks for; returns in the child as well, unless it says otherwise."""
    if what == "pid":
        return str(os.getpid())
    if what == "start":  # a program, by way of the shell and in the background
        os.system("sleep 60 & echo $! >>" + NOTES)  # noqa: S605 - what apps do
        return "started"
    if what == "spawn":
        return str(subprocess.Popen(["sleep", "60"], close_fds=False).pid)
    if what == "preexec":
        return str(subprocess.Popen(["sleep", "60"], close_fds=False, preexec_fn=lambda: None).pid)  # noqa: PLW1509 - what apps do
    if what == "process":
        process = multiprocessing.get_context("fork").Process(target=sleep)
        process.start()
        return str(process.pid)
    if what == "terminate":
        process = multiprocessing.get_context("fork").Process(target=sleep)
        process.start()
        process.terminate()
        process.join(5)
        return str(process.exitcode)
    pid = os.fork()
    if pid == 0:
        note(f"{os.getpid()} {what}")
        if what == "raise":
            raise LookupError("in the child")
        if what == "exit":
            sys.exit(7)
        if what == "interrupt":
            signal.raise_signal(signal.SIGINT)
        if what == "stay":
            time.sleep(60)
        return "from the child"
    if what == "stay":
        return str(pid)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return f"{pid} {code}"


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        raise NotImplementedError
    path = scope["path"].strip("/")
    if path.startswith("late-"):
        await asyncio.sleep(0.01)
    if path.startswith("task-"):
        body = await asyncio.create_task(asyncio.to_thread(act, path[5:]) if "thread" in path else _act(path[5:]))
    else:
        body = act(path.removeprefix("late-"))
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body.encode()})


async def _act(what: str) -> str:
    return act(what)


def wsgi(environ: dict[str, Any], start_response: Any) -> Any:
    body = act(environ["PATH_INFO"].strip("/")).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


native = App(**({} if FD is None else {"fd": int(FD)}))


@native.get("/{what}")
def plain(request: Any) -> str:
    return act(request.params["what"])
