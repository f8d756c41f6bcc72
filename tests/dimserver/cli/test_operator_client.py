"""Questions to servers, and to what is none."""

from __future__ import annotations

import argparse
import pathlib
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dimserver import App
from dimserver.cli import operator_client as module
from dimserver.cli.operator_client import NoServer, Refusal, Server, SeveralServers, choose, wanted_pid
from dimserver.errors import ConfigError
from dimserver.net import control_socket
from dimserver.net.control_socket import Found

Serve = Callable[..., Any]


@pytest.fixture
def place() -> Iterator[pathlib.Path]:
    path = pathlib.Path(tempfile.mkdtemp(dir="/tmp"))
    yield path
    shutil.rmtree(path)


def given(**options: str | None) -> argparse.Namespace:
    return argparse.Namespace(**{"pid": None, "admin": None, "api_token": None, "api_token_file": None, **options})


def address(url: str) -> Any:
    host, _, port = url.removeprefix("http://").rpartition(":")
    return host, int(port)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_admin_listener(serve: Serve, host: str) -> None:
    shown = f"[{host}]" if ":" in host else host
    server = serve(App(), admin=f"{shown}:0", api_token="s3cret")
    found = Server(address(server.urls[1]), "s3cret")
    assert found.get("/api/status")["status"] == "online"
    (row,) = found.get("/api/servers")["servers"]
    with pytest.raises(Refusal, match=r": this program serves in its own process"):
        found.post(f"/api/servers/{row['id']}/reload")
    with pytest.raises(Refusal, match=r": bad parameter: workers is 2; allowed: a whole number from 1 to 1"):
        found.post(f"/api/servers/{row['id']}/scale", {"workers": 2})
    with pytest.raises(Refusal, match=r": forbidden: allowed with the operator's bearer token"):
        Server(address(server.urls[1])).get("/api/servers")


def test_an_admin_socket(serve: Serve, place: pathlib.Path) -> None:
    serve(App(), admin=str(place / "admin"), api_token="s3cret")
    assert Server(str(place / "admin")).get("/api/status")["status"] == "online"


def test_nobody_there(place: pathlib.Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(NoServer, match=r"no server answers at 127\.0\.0\.1:\d+: Connection refused"):
            Server(bound.getsockname()).get("/")
    with pytest.raises(NoServer, match="No such file"):
        Server(str(place / "none")).get("/")


ANSWERS = [
    (b"", NoServer, "the connection ended without an answer"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{", NoServer, "the connection ended without an answer"),
    (b"SSH-2.0-OpenSSH\r\n", NoServer, "the connection ended without an answer"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Refusal, "status 200, and no answer of the operator's API"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", Refusal, "status 200, and no answer of the operator's API"),
    (b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\n{}", Refusal, "status 500"),
    (None, Refusal, "no answer within 0.2 s"),
]


@pytest.mark.parametrize(("data", "kind", "message"), ANSWERS)
def test_what_is_no_answer(
    monkeypatch: pytest.MonkeyPatch, data: bytes | None, kind: type[Exception], message: str
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.recv(4096)
                if data is None:
                    done.wait(20)
                else:
                    sock.sendall(data)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(kind, match=message):
            Server(listener.getsockname()).get("/api/status")
        done.set()
        thread.join()


def test_a_full_queue(monkeypatch: pytest.MonkeyPatch, place: pathlib.Path) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(str(place / "s"))
        listener.listen(0)
        first.connect(str(place / "s"))
        with pytest.raises(Refusal, match=r"no answer within 0\.2 s"):
            Server(str(place / "s")).get("/")


def test_which_one(monkeypatch: pytest.MonkeyPatch) -> None:
    here: list[Found] = []
    monkeypatch.setattr(
        control_socket, "find_servers", lambda pid=None: [each for each in here if pid in (None, each.pid)]
    )
    with pytest.raises(NoServer, match="no server of this user runs") as none:
        choose(given())
    assert none.value.exit_code == 3
    here.append(Found("/run/a/control", 7))
    assert choose(given()).name == "/run/a/control"
    here.append(Found("/run/b/control", 0))
    with pytest.raises(SeveralServers, match=r"^2 servers run; say which: --pid 7, --admin /run/b/control$") as several:
        choose(given())
    assert several.value.exit_code == 2
    assert choose(given(), 7).name == "/run/a/control"
    with pytest.raises(NoServer, match="process 8 has no control socket"):
        choose(given(), 8)
    assert choose(given(admin="[::1]:9")).name == "[::1]:9"
    assert choose(given(admin="./admin")).name.endswith("admin")


@pytest.mark.parametrize("value", ["", "x", "0", "-1", "1.5", "٣", str(1 << 31), "9" * 5000])
def test_what_is_no_process_id(value: str) -> None:
    assert wanted_pid(given()) is None
    assert wanted_pid(given(pid="7")) == 7
    with pytest.raises(ConfigError, match="--pid: "):
        wanted_pid(given(pid=value))


def test_the_token(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    (tmp_path / "token").write_text("of-file\n")

    def token(**options: str) -> Any:
        return choose(given(admin="127.0.0.1:9", **options))._token

    assert token() is None
    monkeypatch.setenv("DIMSERVER_API_TOKEN", "of-variable")
    assert token() == "of-variable"
    assert token(api_token="of-option") == "of-option"
    assert token(api_token_file=str(tmp_path / "token")) == "of-file"
