"""Starlette, FastAPI and Socket.IO as they are, in a running server, with real clients."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from tests.support.waiting import PATIENCE, until

from dimserver import App

httpx = pytest.importorskip("httpx")
starlette = pytest.importorskip("starlette")
fastapi = pytest.importorskip("fastapi")
websockets = pytest.importorskip("websockets")
from starlette.applications import Starlette  # noqa: E402
from starlette.background import BackgroundTask  # noqa: E402
from starlette.middleware import Middleware  # noqa: E402
from starlette.middleware.base import BaseHTTPMiddleware  # noqa: E402
from starlette.middleware.gzip import GZipMiddleware  # noqa: E402
from starlette.requests import Request  # noqa: E402
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse  # noqa: E402
from starlette.routing import Mount, Route, WebSocketRoute  # noqa: E402
from websockets.sync.client import connect  # noqa: E402

Serve = Callable[..., Any]


@pytest.fixture(params=["asyncio", "uvloop"])
def start(request: pytest.FixtureRequest, serve: Serve, tmp_path: Any) -> Iterator[Serve]:
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    log = tmp_path / "errors"

    def start(app: Any, prefix: str = "/", **settings: Any) -> Any:
        server = App()
        server.mount(prefix, app, interface="asgi")
        running = serve(server, loop=request.param, log_file=str(log), **settings)
        running.told = lambda: log.read_text() if log.exists() else ""
        running.http = httpx.Client(base_url=running.url, timeout=PATIENCE)
        running.ws = running.url.replace("http", "ws", 1)
        clients.append(running.http)
        return running

    clients: list[Any] = []
    yield start
    for client in clients:
        client.close()


# --- Starlette --------------------------------------------------------------------------------------


def test_starlette(start: Serve, tmp_path: Any) -> None:
    events: list[str] = []
    go = threading.Event()
    (tmp_path / "file.txt").write_text("file " * 10_000)

    async def behind() -> None:
        while not go.is_set():  # noqa: ASYNC110 - set by the test's thread
            await asyncio.sleep(0.005)
        events.append("behind")

    async def ticks() -> AsyncIterator[str]:
        try:
            for number in range(1000):
                yield f"data: {number}\n\n"
                await asyncio.sleep(0.005)
        finally:
            events.append("ticks ended")

    async def forever() -> AsyncIterator[str]:
        try:
            yield "first"
            await asyncio.sleep(1000)  # sends nothing more, and has to learn that its client left
        finally:
            events.append("forever ended")

    async def upload(request: Request) -> JSONResponse:
        async with request.form() as form:
            file: Any = form["file"]
            return JSONResponse({"size": len(await file.read()), "name": file.filename})

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[dict[str, Any]]:
        events.append("up")
        yield {"from": "lifespan"}
        events.append("down")

    async def fail(request: Request) -> None:
        raise LookupError("in a handler")

    async def stamp(request: Request, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers["x-stamp"] = "1"
        return response

    app = Starlette(
        routes=[
            Route("/", lambda request: PlainTextResponse("sync, in a thread")),
            Route("/state", lambda request: JSONResponse(dict(request.state._state))),
            Route("/behind", lambda request: PlainTextResponse("out", background=BackgroundTask(behind))),
            Route("/ticks", lambda request: StreamingResponse(ticks(), media_type="text/event-stream")),
            Route("/forever", lambda request: StreamingResponse(forever())),
            Route("/file", lambda request: FileResponse(tmp_path / "file.txt")),
            Route("/upload", upload, methods=["POST"]),
            Route("/fail", fail),
            Mount("/below", routes=[Route("/url", lambda request: PlainTextResponse(str(request.url)))]),
        ],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=stamp), Middleware(GZipMiddleware)],
        lifespan=lifespan,
    )
    server = start(app, lifespan="on")
    http = server.http
    assert events == ["up"]
    answer = http.get("/")
    assert (answer.text, answer.headers["x-stamp"]) == ("sync, in a thread", "1")
    assert http.get("/state").json() == {"from": "lifespan"}
    assert http.get("/behind").text == "out"
    assert http.get("/").status_code == 200
    assert "behind" not in events
    go.set()
    until(lambda: "behind" in events)
    assert http.get("/file").text == "file " * 10_000
    assert http.get("/missing").status_code == 404
    assert http.post("/upload", files={"file": ("a.txt", b"x" * 3_000_000)}).json() == {
        "size": 3_000_000, "name": "a.txt",
    }  # fmt: skip
    assert http.get("/below/url?a=b").text == f"{server.url}/below/url?a=b"
    assert http.get("/fail").status_code == 500
    until(lambda: "LookupError: in a handler" in server.told())
    for path, word in (("/ticks", "ticks ended"), ("/forever", "forever ended")):
        with http.stream("GET", path) as stream:
            assert next(stream.iter_raw())
        http.close()
        http = httpx.Client(base_url=server.url, timeout=PATIENCE)
        # A generator that was not asked for its next piece at that moment is closed with the frames that held it.
        until(lambda word=word: word in events or (gc.collect() and False))
    http.close()
    server.stop()
    assert events[-1] == "down"


def test_starlette_mounted_below_a_path(start: Serve) -> None:
    async def page(request: Request) -> JSONResponse:
        return JSONResponse([request.scope["root_path"], request.url.path, str(request.url_for("page"))])

    app = Starlette(routes=[Route("/page", page, name="page")])
    server = start(app, "/inner", root_path="/outer")
    root, path, url = server.http.get("/inner/page").json()
    assert (root, path, url) == ("/outer/inner", "/outer/inner/page", f"{server.url}/outer/inner/page")


# --- FastAPI ----------------------------------------------------------------------------------------


def test_fastapi(start: Serve) -> None:
    from fastapi import BackgroundTasks, Depends, FastAPI, File, HTTPException, UploadFile

    app = FastAPI()
    done: list[str] = []

    def user(name: str = "nobody") -> str:
        if name == "stranger":
            raise HTTPException(403, "no strangers")
        return name

    # What annotations name has to be global, unless it is given as a default.
    @app.get("/items/{number}")
    async def item(number: int, who: str = Depends(user)) -> dict[str, Any]:
        return {"number": number, "who": who}

    async def later(background: BackgroundTasks) -> dict[str, str]:
        background.add_task(done.append, "task")
        return {"task": "begun"}

    later.__annotations__["background"] = BackgroundTasks
    app.post("/later")(later)

    async def upload(file: Any = File()) -> dict[str, Any]:  # noqa: B008 - as FastAPI has it
        return {"size": len(await file.read())}

    upload.__annotations__["file"] = UploadFile
    app.post("/upload")(upload)

    server = start(app)
    http = server.http
    assert http.get("/items/5", params={"name": "anna"}).json() == {"number": 5, "who": "anna"}
    assert http.get("/items/five").status_code == 422
    assert http.get("/items/5", params={"name": "stranger"}).status_code == 403
    assert http.post("/later").json() == {"task": "begun"}
    until(lambda: done)
    assert http.post("/upload", files={"file": b"y" * 100_000}).json() == {"size": 100_000}
    assert http.get("/openapi.json").json()["paths"].keys() >= {"/items/{number}", "/upload"}
    assert http.get("/docs").status_code == 200
    assert server.told() == ""


def test_fastapi_websocket(start: Serve) -> None:
    from fastapi import FastAPI, WebSocket, WebSocketDisconnect

    app = FastAPI()
    ends: list[Any] = []

    async def chat(socket: WebSocket) -> None:
        await socket.accept(subprotocol="chat", headers=[(b"x-a", b"b")])
        try:
            while True:
                text = await socket.receive_text()
                if text == "close":
                    await socket.close(4001, "as asked")
                    return
                await socket.send_text(f"{socket.url.path}: {text}")
                await socket.send_bytes(text.encode())
        except WebSocketDisconnect as error:
            ends.append((error.code, error.reason))

    async def refuse(socket: WebSocket) -> None:
        await socket.close()

    for function in (chat, refuse):
        function.__annotations__["socket"] = WebSocket
        app.websocket("/" + function.__name__)(function)
    server = start(app)
    with connect(server.ws + "/chat", subprotocols=["other", "chat"]) as client:
        assert client.subprotocol == "chat"
        assert client.response.headers["x-a"] == "b"
        for text in ("one", "two" * 10_000):
            client.send(text)
            assert client.recv() == f"/chat: {text}"
            assert client.recv() == text.encode()
        client.close(4000, "bye")
    until(lambda: ends)
    assert ends == [(4000, "bye")]
    with connect(server.ws + "/chat", subprotocols=["chat"]) as client:
        client.send("close")
        with pytest.raises(websockets.ConnectionClosed) as closed:
            client.recv()
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "as asked")
    with pytest.raises(websockets.InvalidStatus) as refused:
        connect(server.ws + "/refuse")
    assert refused.value.response.status_code == 403
    with pytest.raises(websockets.InvalidStatus) as refused:
        connect(server.ws + "/missing")
    assert refused.value.response.status_code == 403
    assert server.told() == ""


def test_starlette_denial(start: Serve) -> None:
    from starlette.websockets import WebSocket

    async def deny(socket: WebSocket) -> None:
        await socket.send_denial_response(PlainTextResponse("pay first", 402, {"x-price": "1"}))

    server = start(Starlette(routes=[WebSocketRoute("/", deny)]))
    with pytest.raises(websockets.InvalidStatus) as refused:
        connect(server.ws + "/")
    response = refused.value.response
    assert (response.status_code, response.body, response.headers["x-price"]) == (402, b"pay first", "1")
    assert server.told() == ""


# --- Socket.IO --------------------------------------------------------------------------------------


def make_hub(gone: threading.Event) -> Any:
    socketio = pytest.importorskip("socketio")
    hub = socketio.AsyncServer(async_mode="asgi")

    @hub.event
    async def echo(sid: str, data: Any) -> Any:
        await hub.emit("pushed", data, to=sid)
        return {"echo": data}

    @hub.event
    async def disconnect(sid: str, reason: Any = None) -> None:
        gone.set()

    return socketio.ASGIApp(hub)


def test_socketio_on_a_websocket(start: Serve) -> None:
    socketio = pytest.importorskip("socketio")
    pytest.importorskip("aiohttp")
    gone = threading.Event()
    server = start(make_hub(gone), lifespan="off", drain=0.1)  # its own tasks go on
    pushed: list[Any] = []

    async def talk() -> None:
        client = socketio.AsyncClient()
        client.on("pushed", pushed.append)
        await client.connect(server.url, transports=["websocket"])
        assert client.transport() == "websocket"
        for data in ("text", {"a": [1, 2]}, b"bytes" * 1000):
            assert await client.call("echo", data, timeout=PATIENCE) == {"echo": data}
        while len(pushed) < 3:  # noqa: ASYNC110 - told by callbacks of the client's own
            await asyncio.sleep(0.005)
        await client.disconnect()
        await asyncio.sleep(0.05)  # it closes its session behind that

    asyncio.run(asyncio.wait_for(talk(), PATIENCE))
    assert gone.wait(PATIENCE)
    assert server.told() == ""


def test_socketio_by_polling(start: Serve) -> None:
    """By hand, in the words of its protocol: the client of that package waits for its last poll to time out."""
    gone = threading.Event()
    server = start(make_hub(gone), lifespan="off", drain=0.1)  # its own tasks go on
    url = "/socket.io/?EIO=4&transport=polling"
    opened = server.http.get(url).text
    assert opened.startswith("0{")
    url += "&sid=" + json.loads(opened[1:])["sid"]
    assert server.http.post(url, content="40").text == "OK"
    assert server.http.get(url).text.startswith("40{")
    with httpx.Client(base_url=server.url, timeout=PATIENCE) as poller:
        polled: list[str] = []
        thread = threading.Thread(target=lambda: polled.append(poller.get(url).text))
        thread.start()  # waits for something to be told
        time.sleep(0.05)
        assert server.http.post(url, content='420["echo","x"]').text == "OK"
        thread.join(PATIENCE)
        text = polled[0]
        if "430" not in text:
            text += poller.get(url).text
    assert '42["pushed","x"]' in text
    assert '430[{"echo":"x"}]' in text
    assert server.http.post(url, content="41").text == "OK"
    assert gone.wait(PATIENCE)
    assert server.told() == ""
