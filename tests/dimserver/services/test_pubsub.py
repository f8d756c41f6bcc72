"""Topics over a real Valkey or Redis server, which the tests start, stop and lock."""

from __future__ import annotations

import asyncio
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from tests.support.ports import free_port
from tests.support.waiting import until

from dimserver import App
from dimserver.errors import ConfigError
from dimserver.services import pubsub as module
from dimserver.services.pubsub import SERVER_BYTES, PubSub, decode, encode

valkey = pytest.importorskip("valkey")
PROGRAM = shutil.which("valkey-server") or shutil.which("redis-server")
NEEDS_SERVER = pytest.mark.skipif(PROGRAM is None, reason="neither valkey-server nor redis-server is installed")
OTHER = b"otherone"


class Server:
    """A Valkey or Redis server; it may be stopped and started at the same port."""

    def __init__(self, directory: pathlib.Path, password: str = "") -> None:
        self.port = free_port()
        self.password = password
        self.url = f"valkey://{f':{password}@' if password else ''}127.0.0.1:{self.port}/0"
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Server:
        assert PROGRAM is not None
        words = [PROGRAM, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        if self.password:
            words += ["--requirepass", self.password]
        self._process = subprocess.Popen(words, cwd=self._directory, stdout=subprocess.DEVNULL)
        until(self._is_up, "the server did not start")
        return self

    def _is_up(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except valkey.ConnectionError:
            return False

    def client(self) -> Any:
        return valkey.Valkey.from_url(self.url, protocol=2)

    def publish(self, channel: str, data: bytes) -> int:
        with self.client() as client:
            return int(client.publish(channel, data))

    def pause(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def server(tmp_path: pathlib.Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    made.stop()


class Loop:
    """Calls are made at once, on the thread that hands them over."""

    def __init__(self) -> None:
        self.held: list[Callable[[], object]] | None = None

    def call_from_thread(self, call: Callable[[], object]) -> None:
        if self.held is None:
            call()
        else:
            self.held.append(call)


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def error(self, message: str, error: BaseException | None = None) -> None:
        self.lines.append(("error", message + (f" {error!r}" if error else "")))

    def info(self, message: str) -> None:
        self.lines.append(("info", message))


class Exchange:
    """One server's end."""

    def __init__(self, url: str, name: bytes = b"thisone1", prefix: str = "t:", most: int = 1 << 20) -> None:
        self.got: list[tuple[str, bool, bytes]] = []
        self.loop = Loop()
        self.log = Log()
        loop: Any = self.loop
        log: Any = self.log
        self.pubsub = PubSub(url, prefix, name, most, self.take, loop, log)

    def take(self, *message: Any) -> None:
        self.got.append(message)

    def ready(self) -> Exchange:
        until(lambda: self.pubsub.connected, f"no connection: {self.log.lines}")
        return self


@pytest.fixture
def exchange(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Exchange]]:
    monkeypatch.setattr(module, "PAUSES", (0.05, 0.1))
    made: list[Exchange] = []

    def make(*given: Any, **options: Any) -> Exchange:
        made.append(Exchange(*given, **options))
        return made[-1]

    yield make
    for each in made:
        began = time.monotonic()
        each.pubsub.close()
        each.pubsub.close()
        assert time.monotonic() - began < 1.5, "a thread did not end"


# --- the form of messages -------------------------------------------------------------------------


@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize("payload", [b"", b"x", "é".encode(), b"\0\xff" * 100])
def test_form(text: bool, payload: bytes) -> None:
    assert decode(encode(b"12345678", text, payload)) == (b"12345678", text, payload)


@pytest.mark.parametrize(
    ("data", "text"),
    [(b"", True), (b"plain", True), ("é".encode(), True), (b"\xff", False), (b"\0dim1short", True),
     (b"\0dim112345678x", True), (b"\0dim2", True)],
)  # fmt: skip
def test_messages_of_other_programs(data: bytes, text: bool) -> None:
    assert decode(data) == (b"", text, data)


# --- with a server --------------------------------------------------------------------------------


@NEEDS_SERVER
def test_messages_between_servers(server: Server, exchange: Any) -> None:
    server.start()
    one, two, same = exchange(server.url).ready(), exchange(server.url, OTHER).ready(), exchange(server.url).ready()
    messages = [
        ("é", True, "hé".encode()),
        ("x" * 255, False, b"\0\xff"),
        ("a", True, b""),
        ("a", False, b"x" * 300_000),
    ]
    for message in messages:
        one.pubsub.publish(*message)
    until(lambda: len(two.got) == 4)
    assert two.got == messages
    two.pubsub.publish("back", True, b"!")
    until(lambda: one.got and same.got)
    assert (one.got, same.got) == ([("back", True, b"!")], [("back", True, b"!")])  # none of their own
    assert (one.pubsub.sent, one.pubsub.received, one.pubsub.dropped) == (4, 1, 0)
    assert (two.pubsub.sent, two.pubsub.received) == (1, 4)
    assert one.log.lines == two.log.lines == []


@NEEDS_SERVER
def test_thousands_keep_their_order(server: Server, exchange: Any) -> None:
    server.start()
    one, two = exchange(server.url).ready(), exchange(server.url, OTHER).ready()
    for number in range(5000):
        one.pubsub.publish("x", True, b"%d" % number)
    until(lambda: len(two.got) == 5000)
    assert [int(payload) for _, _, payload in two.got] == list(range(5000))


@NEEDS_SERVER
def test_other_programs_and_other_prefixes(server: Server, exchange: Any) -> None:
    server.start()
    one = exchange(server.url).ready()
    for channel, data in (
        ("u:x", b"another prefix"),
        ("t:", b"no name"),
        ("t:" + "x" * 256, b"a long name"),
        ("t:room", b"plain text"),
        ("t:room", b"\xff\0"),
    ):
        server.publish(channel, data)
    with server.client() as client:
        client.publish(b"t:\xff", b"no UTF-8")
    server.publish("t:last", b"")
    until(lambda: len(one.got) == 3)
    assert one.got == [("room", True, b"plain text"), ("room", False, b"\xff\0"), ("last", True, b"")]


@NEEDS_SERVER
def test_the_server_goes_and_comes_back(server: Server, exchange: Any) -> None:
    """One line each, no message kept, and all goes on."""
    server.start()
    one, two = exchange(server.url).ready(), exchange(server.url, OTHER).ready()
    for turn in range(2):
        server.stop()
        until(lambda: not one.pubsub.connected and not two.pubsub.connected)
        began = time.monotonic()
        for _ in range(100):
            one.pubsub.publish("x", True, b"lost")
        assert time.monotonic() - began < 0.1
        time.sleep(0.5)  # several tries
        assert len(one.log.lines) == 1 + 2 * turn
        server.start()
        one.ready()
        two.ready()
        one.pubsub.publish("x", True, b"back")
        until(lambda count=turn + 1: len(two.got) == count)
    assert two.got == [("x", True, b"back")] * 2
    assert one.pubsub.dropped == 200
    kinds = [kind for kind, _ in one.log.lines]
    assert kinds == ["error", "info", "error", "info"]
    assert f"valkey://127.0.0.1:{server.port}/0 is unavailable" in one.log.lines[0][1]
    assert "is back; 100 messages were lost meanwhile" in one.log.lines[1][1]


def test_the_reason_told_is_the_present_one(exchange: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHANGES", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    one = exchange(f"valkey://127.0.0.1:{port}/0")
    until(lambda: one.log.lines)
    assert "refused" in one.log.lines[0][1]

    def deny() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                client.recv(4096)
                client.sendall(b"-NOAUTH Authentication required.\r\n" * 4)

    with socket.create_server(("127.0.0.1", port)) as listener:
        threading.Thread(target=deny, daemon=True).start()
        until(lambda: len(one.log.lines) > 1)
        assert "the reason is now" in one.log.lines[1][1]
        assert "refused" not in one.log.lines[1][1]
        time.sleep(0.6)
        assert len(one.log.lines) <= 3
        listener.shutdown(socket.SHUT_RDWR)


@NEEDS_SERVER
def test_not_there_at_the_start(server: Server, exchange: Any) -> None:
    one = exchange(server.url)
    one.pubsub.publish("x", True, b"lost")
    until(lambda: one.log.lines)
    time.sleep(0.5)
    assert len(one.log.lines) == 1
    assert one.pubsub.dropped == 1
    server.start()
    one.ready()
    server.publish("t:x", b"there")
    until(lambda: one.got)
    assert [kind for kind, _ in one.log.lines] == ["error", "info"]


@NEEDS_SERVER
def test_passwords(server: Server, exchange: Any) -> None:
    """The right one, a wrong one, none; and none of them in a log."""
    server.password = "s3cr3t-right"
    right = f"valkey://:s3cr3t-right@127.0.0.1:{server.port}/0"
    server.url = right
    server.start()
    one = exchange(right).ready()
    wrong = exchange(f"valkey://:s3cr3t-wrong@127.0.0.1:{server.port}/0", OTHER)
    none = exchange(f"valkey://127.0.0.1:{server.port}/0", OTHER)
    until(lambda: wrong.log.lines and none.log.lines)
    time.sleep(0.3)
    assert len(wrong.log.lines) == len(none.log.lines) == 1
    assert "is unavailable" in wrong.log.lines[0][1]
    assert "s3cr3t" not in str(wrong.log.lines + none.log.lines + one.log.lines)
    wrong.pubsub.publish("x", True, b"never")
    one.pubsub.publish("x", True, b"nobody")
    assert (wrong.pubsub.dropped, one.got) == (1, [])


@NEEDS_SERVER
def test_one_that_may_not_publish(server: Server, exchange: Any) -> None:
    server.start()
    with server.client() as client:
        client.acl_setuser("reader", enabled=True, passwords=["+pw"], commands=["+psubscribe", "+ping", "+client"],
                           channels=["*"])  # fmt: skip
    one = exchange(f"valkey://reader:pw@127.0.0.1:{server.port}/0").ready()
    for _ in range(3):
        one.pubsub.publish("x", True, b"x")
        until(lambda: one.log.lines)
    until(lambda: one.pubsub.dropped == 3)
    assert len(one.log.lines) == 1
    assert "rejects messages" in one.log.lines[0][1]
    server.publish("t:x", b"it reads on")
    until(lambda: one.got)


@NEEDS_SERVER
def test_a_server_that_hangs_does_not_hold_up_the_loop(server: Server, exchange: Any) -> None:
    server.start()
    one = exchange(server.url, most=100_000).ready()
    server.pause()
    began = time.monotonic()
    for _ in range(1000):
        one.pubsub.publish("x", False, b"x" * 1000)
    assert time.monotonic() - began < 0.2
    assert one.pubsub.dropped > 500  # more than the limit, and what the thread had taken
    server.go_on()
    until(lambda: one.pubsub.sent + one.pubsub.dropped == 1000)


@NEEDS_SERVER
def test_a_loop_that_lags_is_given_no_more_than_the_limit(server: Server, exchange: Any) -> None:
    server.start()
    one = exchange(server.url, most=10_000).ready()
    one.loop.held = []
    for _ in range(50):
        server.publish("t:x", b"x" * 1000)
    until(lambda: one.pubsub.received + one.pubsub.dropped == 50)
    assert 5 < one.pubsub.received < 10
    held, one.loop.held = one.loop.held, None
    for call in held:
        call()
    server.publish("t:x", b"again")
    until(lambda: one.got[-1:] == [("x", True, b"again")])


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'dimserver\[valkey\]'"):
        Exchange("valkey://localhost")


def test_a_url_that_the_library_refuses() -> None:
    with pytest.raises(ConfigError, match=r"^pubsub: valkey://localhost/0: ValueError: the URL cannot be used$"):
        Exchange("valkey://user:secret@localhost/0?socket_timeout=nonsense")


# --- as a user starts it --------------------------------------------------------------------------

APP = """
from dimserver import App

app = App()


@app.websocket("/room")
class Room:
    def on_open(self, ws):
        app.topic("room").subscribe(ws)
        ws.send("welcome")

    def on_message(self, ws, message):
        app.topic("room").publish(message)
"""


def run(talk: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(talk(), 60))  # type: ignore[arg-type]


@NEEDS_SERVER
def test_two_servers_with_two_workers_each(server: Server, child: Any, tmp_path: pathlib.Path) -> None:
    """Each message comes once to everybody, wherever it was published; without Valkey within its server alone."""
    websockets = pytest.importorskip("websockets")
    server.password = "s3cr3t"
    server.url = f"valkey://:s3cr3t@127.0.0.1:{server.port}/0"
    server.start()
    (tmp_path / "site.py").write_text(APP)
    words = ("run", "site.py", "--port", "0", "--workers", "2", "--pubsub", server.url)
    servers = [child(*words, cwd=tmp_path) for _ in range(2)]

    async def talk() -> None:
        sockets = []
        for each in servers:
            for _ in range(4):
                url = each.urls[0].replace("http", "ws", 1) + "/room"
                sockets.append(await websockets.connect(url, proxy=None, ping_interval=None))
                assert await sockets[-1].recv() == "welcome"

        async def hears(message: str, who: list[Any], patience: float = 20.0) -> None:
            for each in who:
                assert await asyncio.wait_for(each.recv(), patience) == message

        async def exchange(name: str) -> None:
            for number, each in enumerate(sockets):
                await each.send(f"{name} {number}")
                await hears(f"{name} {number}", sockets)

        for _ in range(200):  # until both workers of both servers are connected
            with server.client() as client:
                if client.pubsub_numpat() == 1 and len(client.client_list(_type="pubsub")) == 4:
                    break
            await asyncio.sleep(0.05)
        await exchange("all")
        server.stop()
        await asyncio.sleep(0.3)
        for number, own in ((0, sockets[:4]), (4, sockets[4:])):
            await sockets[number].send("alone")
            await hears("alone", own)
        server.start()
        for _ in range(400):
            with server.client() as client:
                if len(client.client_list(_type="pubsub")) == 4:
                    break
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.2)
        await exchange("again")
        for each in sockets:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(each.recv(), 0.02)
            await each.close()

    run(talk)
    for each in servers:
        code, out, err = each.end()
        assert code == 0
        assert err.count("is unavailable") == err.count("is back;") == 2  # a line for each worker
        assert "s3cr3t" not in out + err


def test_nobody_there_at_the_start_is_no_reason_not_to_serve(child: Any, tmp_path: pathlib.Path) -> None:
    (tmp_path / "site.py").write_text(APP + '\n@app.get("/")\ndef index(request):\n    return "here"\n')
    url = f"redis://user:s3cr3t@127.0.0.1:{free_port()}/0"
    log = tmp_path / "log"
    words = ("run", "site.py", "--port", "0", "--log-file", str(log))
    server = child(*words, cwd=tmp_path, variables={"DIMSERVER_PUBSUB": url})
    assert server.connect().get("/").answer()[2] == b"here"
    until(lambda: "is unavailable" in log.read_text())
    time.sleep(0.5)
    code, out, err = server.end()
    assert (code, err) == (0, "")
    assert log.read_text().count("is unavailable") == 1
    assert "s3cr3t" not in out + log.read_text()


def test_a_bad_setting_names_no_secret(child: Any, tmp_path: pathlib.Path) -> None:
    (tmp_path / "site.py").write_text(APP)
    server = child("run", "site.py", "--pubsub", "valkey://:s3cr3t@host:99999", cwd=tmp_path, announced=False)
    code, out, err = server.end(0)
    assert code == 2
    assert "--pubsub: the value given is not allowed; allowed: off, workers, or valkey://" in err
    assert "s3cr3t" not in out + err


def test_a_url_that_the_library_refuses_ends_the_start(child: Any, tmp_path: pathlib.Path) -> None:
    (tmp_path / "site.py").write_text(APP)
    url = "valkey://:s3cr3t@host/0?health_check_interval=s3cr3t"
    server = child("run", "site.py", "--port", "0", "--pubsub", url, cwd=tmp_path, announced=False)
    code, out, err = server.end(0)
    assert code == 2
    assert "pubsub: valkey://host/0: ValueError: the URL cannot be used" in err
    assert "s3cr3t" not in out + err


def test_an_app_without_it_imports_no_library(serve: Any) -> None:
    app = App()
    app.get("/")(lambda request: str(app.topic("x").publish("y")))
    assert serve(app).connect().get("/").answer()[2] == b"True"
    done = subprocess.run(
        [sys.executable, "-c", "import sys, dimserver.worker.worker; print('valkey' in sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "False\n"
    assert len(encode(b"x" * SERVER_BYTES, True, b"")) == 14
