"""The programs in README.md and docs do what is said of them there."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Callable
from typing import Any

import pytest
from tests.wire.wsclient import WebSocketClient

import dimserver
from dimserver.config import SETTINGS

Serve = Callable[..., Any]
ROOT = pathlib.Path(dimserver.__file__).parents[2]

pytestmark = pytest.mark.skipif(not (ROOT / "docs").exists(), reason="no documentation beside an installed package")


def programs(document: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)


def run(*pieces: str) -> dict[str, Any]:
    held: dict[str, Any] = {}
    for piece in pieces:
        exec(compile(piece, "document", "exec"), held)  # noqa: S102 - our own documentation
    return held


def test_the_readme(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    """All of its pieces are of one app, in this order."""
    pieces = programs("README.md")
    assert len(pieces) == 4
    app = run(*pieces)["app"]
    app.websocket("/listen")(type("Listen", (), {"on_open": lambda _, ws: app.topic("news").subscribe(ws)}))
    server = serve(app)
    wire = server.connect()
    assert wire.get("/hello/world").answer()[2] == b"Hello, world!"
    body = b"[1, 2, 3]"
    wire.send(b"POST /sum HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    assert json.loads(wire.answer()[2]) == {"sum": 6}
    address = server.url.replace("http", "ws", 1)
    with WebSocketClient(address + "/ws/ann") as ann, WebSocketClient(address + "/echo") as echo:
        assert ann.send("hello").receive() == "ann: hello"
        assert echo.send(b"hello").receive() == b"hello"
        ann.say_goodbye()
        assert ann.closed() == (1000, "")
    with WebSocketClient(address + "/listen") as listener:
        wire.send(b"POST /news HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nnews")
        assert wire.answer()[0] == 200
        assert listener.receive() == b"news"
    assert "ann left 1000" in capsys.readouterr().out


DOCUMENTS = sorted(path.relative_to(ROOT).as_posix() for path in [ROOT / "README.md", *ROOT.glob("docs/*.md")])
FOLDERS = ("src", "tests", "bench", "examples")
# Of no setting: of commands, of a benchmark (readme) and of curl (unix-socket).
OPTIONS_OF_COMMANDS = {"check", "config", "help", "json", "pid", "readme", "unix-socket", "version", "wait"}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_options_links_and_files_are_there(document: str) -> None:
    text = (ROOT / document).read_text()
    options = {name.removeprefix("no-") for name in re.findall(r"(?<![\w-])--([a-z][a-z0-9-]+)", text)}
    settings = {setting.name for setting in SETTINGS}
    assert options <= settings | OPTIONS_OF_COMMANDS
    for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        assert link.startswith("https://") or (ROOT / document).parent.joinpath(link).exists(), link
    files = [f"/{path.relative_to(ROOT).as_posix()}" for folder in FOLDERS for path in (ROOT / folder).rglob("*.p*")]
    for name in re.findall(r"`([\w./-]+\.(?:pyx|pxd|py))`", text):
        assert name == "first.py" or any(path.endswith(f"/{name}") for path in files), name


def test_the_micro_benchmarks_are_listed() -> None:
    listed = re.findall(r"^\| `(test_\w+\.py)` \|", (ROOT / "bench" / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in (ROOT / "bench" / "micro").glob("test_*.py"))


def test_topics(serve: Serve) -> None:
    (program,) = programs("docs/topics.md")
    app = run(program)["app"]
    server = serve(app)
    address = server.url.replace("http", "ws", 1)
    with WebSocketClient(address + "/room/news") as ann, WebSocketClient(address + "/room/news") as bob:
        bob.frame(9, b"there")
        bob.event()  # it is subscribed
        ann.send("hello")
        assert bob.receive() == "hello"
        text = json.dumps({"text": "news"}).encode()
        wire = server.connect()
        wire.send(b"POST /news HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))
        assert wire.answer()[0] == 200
        assert (ann.receive(), bob.receive()) == ("news", "news")


def test_the_two_forms_of_a_socket(serve: Serve) -> None:
    events, coroutine = programs("docs/websockets.md")[:2]
    for piece, path, answer in ((events, "/ws/ann", "ann: hello"), (coroutine, "/ws", "HELLO")):
        app = run("from dimserver import App\napp = App()", piece)["app"]
        with WebSocketClient(serve(app).url.replace("http", "ws", 1) + path) as client:
            assert client.send("hello").receive() == answer


def test_async_handlers(serve: Serve) -> None:
    wire = serve(run(programs("docs/async.md")[0])["app"]).connect()
    assert [wire.get(path).answer()[2] for path in ("/", "/later")] == [b"at once", b"later"]


@pytest.mark.parametrize("document", ["static.md", "gateways.md"])
def test_static_files_in_an_app(
    serve: Serve, document: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file of a directory is found where the text says."""
    (line,) = re.findall(r"^app\.route\(.*StaticFiles.*$", (ROOT / "docs" / document).read_text(), re.MULTILINE)
    (directory,) = re.findall(r'StaticFiles\("(\w+)"', line)
    (tmp_path / directory).mkdir()
    (tmp_path / directory / "a.txt").write_text("a file")
    monkeypatch.chdir(tmp_path)
    start = "from dimserver import App, StaticFiles\napp = App()"
    app = run(start, line)["app"]
    assert serve(app).connect().get("/static/a.txt").answer()[2] == b"a file"
