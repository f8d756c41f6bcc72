"""``python ws_peers.py NAME PORT``: echo servers of libraries that are started from a program."""

from __future__ import annotations

import asyncio
import sys
from typing import Any


async def websockets(port: int) -> None:
    from websockets.asyncio.server import serve

    async def echo(socket: Any) -> None:
        async for message in socket:
            await socket.send(message)

    async with serve(echo, "127.0.0.1", port, compression=None, ping_interval=None):
        await asyncio.Future()


async def picows(port: int) -> None:
    from picows import WSListener, WSMsgType, ws_create_server

    class Echo(WSListener):
        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            if frame.msg_type == WSMsgType.CLOSE:
                transport.send_close(frame.get_close_code())
                transport.disconnect()
            else:
                transport.send(frame.msg_type, frame.get_payload_as_bytes())

    server = await ws_create_server(lambda request: Echo(), "127.0.0.1", port)
    await server.serve_forever()


async def aiohttp(port: int) -> None:
    from aiohttp import WSMsgType, web

    async def echo(request: Any) -> Any:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        async for message in socket:
            if message.type == WSMsgType.BINARY:
                await socket.send_bytes(message.data)
        return socket

    application = web.Application()
    application.add_routes([web.get("/", echo)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Future()


def socketify(port: int) -> None:
    from socketify import App, OpCode

    app = App()
    app.ws("/", {"message": lambda ws, message, opcode: ws.send(message, OpCode.BINARY), "idle_timeout": 0})
    app.listen({"host": "127.0.0.1", "port": port})
    app.run()


def main(name: str, port: int) -> None:
    if name == "socketify":
        socketify(port)
        return
    import uvloop

    uvloop.run({"websockets": websockets, "picows": picows, "aiohttp": aiohttp}[name](port))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
