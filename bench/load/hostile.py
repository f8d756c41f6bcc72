"""``python -m bench.load.hostile [COUNT]``: hostile connections of each kind at default settings, and honest clients.

For each kind a server of its own: COUNT connections make it hold as much as they can and stand still, then 100 uploads
of 1 MiB and 100 GETs are made.  Reported are the growth of resident memory, what the budgets say, and how many of the
honest requests were answered.  ``--kinds half-head,body`` names some of them, ``-- OPTIONS`` are the server's.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import selectors
import socket
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

from dimcore import encode_frame

KIB = 1024
MIB = 1024 * KIB
HONEST = 100
SEND_SECONDS = 120.0  # for what the hostile ones send

APP = """
import time
from dimserver import App
app = App(port=0)

@app.post("/up")
def up(request):
    return str(len(request.body))

@app.get("/small")
def small(request):
    return "hello"

@app.get("/large")
def large(request):
    return bytes(1 << 20)

@app.get("/slow", blocking=True)
def slow(request):
    time.sleep(3600)

@app.websocket("/ws")
class Talk:
    def on_message(self, ws, message):
        pass
"""
POST = b"POST /up HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n"
)
GET = b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n"


def half_message() -> bytes:
    return UPGRADE % b"" + b"\x82\xff" + (16 * MIB).to_bytes(8, "big") + b"\0\0\0\0" + bytes(1 * MIB)


def half_deflated() -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -12)
    payload = deflater.compress(bytes(8 * MIB)) + deflater.flush(zlib.Z_SYNC_FLUSH)
    frame = encode_frame(2, payload, final=False, compressed=True, mask=bytes(4))
    return UPGRADE % b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" + frame


# What each connection sends; it reads nothing.
KINDS = {
    "half-head": GET[:-2] % b"small" + b"X: " + b"x" * 8000,
    "body": POST % (1 * MIB) + bytes(1 * MIB - KIB),
    "spool": POST % (16 * MIB) + bytes(2 * MIB),
    "message": half_message(),
    "deflate": half_deflated(),
    "unread": GET % b"large" * 8,
    "pipeline": GET % b"slow" + GET % b"small" * 1500,
}


def resident(pid: int) -> int:
    """Bytes of a process and its children."""
    own = int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) * KIB  # type: ignore[index]
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return own + sum(resident(int(child)) for child in children)


def attack(port: int, count: int, data: bytes) -> tuple[list[socket.socket], float]:
    """Open the connections and send as much as is taken."""
    selector = selectors.DefaultSelector()
    socks = []
    view = memoryview(data)
    for number in range(count):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        # Some 28,000 ports an address: other clients have theirs.
        sock.bind((f"127.0.0.{2 + number // 20_000}", 0))
        sock.connect(("127.0.0.1", port))
        sock.setblocking(False)
        socks.append(sock)
        selector.register(sock, selectors.EVENT_WRITE, [0])
    end = time.monotonic() + SEND_SECONDS
    while selector.get_map() and time.monotonic() < end:
        ready = selector.select(2.0)
        if not ready:
            break
        for key, _ in ready:
            try:
                peer = key.fileobj
                assert isinstance(peer, socket.socket)
                key.data[0] += peer.send(view[key.data[0] : key.data[0] + 256 * KIB])
            except BlockingIOError:
                continue
            except OSError:
                selector.unregister(key.fileobj)
                continue
            if key.data[0] == len(data):
                selector.unregister(key.fileobj)
    return socks, SEND_SECONDS - (end - time.monotonic())


def ask(port: int, data: bytes) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 20) as sock:
            sock.sendall(data)
            return sock.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def figures(admin: str) -> dict[str, dict[str, int]]:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(20)
    sock.connect(admin)
    sock.sendall(b"GET /api/stats HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    data = b""
    while more := sock.recv(65536):
        data += more
    sock.close()
    found: dict[str, dict[str, int]] = json.loads(data.partition(b"\r\n\r\n")[2])["budgets"]
    return found


def measure(kind: str, count: int, options: list[str]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch, "hostile_app.py").write_text(APP)
        admin = f"{scratch}/admin"
        command = [sys.executable, "-m", "dimserver", "run", "hostile_app", "--port", "0", "--admin", admin]
        if kind == "deflate":
            command += ["--ws-deflate"]
        command += ["--max-connections", str(count + 200), "--log-level", "error", *options]
        server = subprocess.Popen(command, cwd=scratch, stdout=subprocess.PIPE, text=True)
        socks: list[socket.socket] = []
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            port = int(re.search(r"http://[^ ]*:(\d+)", line)[1])  # type: ignore[index]
            ask(port, GET % b"small")
            before = resident(server.pid)
            socks, seconds = attack(port, count, KINDS[kind])
            grown = resident(server.pid) - before
            gets = sum(ask(port, GET % b"small") for _ in range(HONEST))
            uploads = sum(ask(port, POST % MIB + bytes(MIB)) for _ in range(HONEST))
            grown = max(grown, resident(server.pid) - before)
            budgets = figures(admin)
            memory, spool = budgets["memory"], budgets["spool"]
            print(
                f"{kind:10} {count:6} connections in {seconds:5.1f} s: {grown / MIB:7.1f} MiB more; budget used "
                f"{memory['used'] / MIB:.1f}, peak {memory['peak'] / MIB:.1f} of {memory['limit'] / MIB:.0f} MiB, "
                f"spool {spool['used'] / MIB:.1f} MiB; ended {memory['ended'] + spool['ended']}, "
                f"refused {memory['refused'] + spool['refused']}; honest: {uploads} of {HONEST} uploads, "
                f"{gets} of {HONEST} GETs",
                flush=True,
            )
        finally:
            for sock in socks:
                sock.close()
            server.terminate()
            server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=1000)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("options", nargs="*")
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.environ.pop("PYTHONWARNINGS", None)
    for kind in arguments.kinds.split(","):
        measure(kind, arguments.count, arguments.options)


if __name__ == "__main__":
    main()
