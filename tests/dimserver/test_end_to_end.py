"""The server as a user meets it: started by a command, asked over real sockets, stopped by a signal."""

from __future__ import annotations

import contextlib
import html
import http.client
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.rights import PROGRAM as WITHOUT_ROOTS_RIGHTS
from tests.support.ports import free_port
from tests.support.servers import child_environment
from tests.support.waiting import PATIENCE

ROOT = pathlib.Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"

Start = Callable[..., Any]
DIMSERVER = "[sys.executable, '-m', 'dimserver', *sys.argv[1:]]"

APP = """
import threading, time
from dimserver import App, Response
app = App()

@app.get("/")
def index(request):
    return "index"

@app.get("/slow", blocking=True)
def slow(request):
    time.sleep(float(request.query_params.get("seconds", "0.3")))
    return f"slow on {threading.current_thread().name}"

@app.get("/stuck")
def stuck(request):
    time.sleep(60)

@app.get("/where")
def where(request):
    return threading.current_thread().name

@app.get("/broken")
def broken(request):
    raise RuntimeError("secret detail")

@app.post("/echo")
def echo(request):
    return Response(request.body, 201, [("X-A", "1"), ("X-A", "2")], content_type="text/plain")

@app.get("/peer")
def peer(request):
    return {"client": request.client_ip, "spiral": request.connection.spiral}
"""


@pytest.fixture
def shop(tmp_path: pathlib.Path) -> pathlib.Path:
    """A directory with an app in shop.py and files in public/."""
    (tmp_path / "shop.py").write_text(APP)
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "index.html").write_text("<h1>front</h1>")
    (tmp_path / "public" / "a.txt").write_text("file a")
    return tmp_path


def ask(url: str, path: str, method: str = "GET", body: bytes | None = None) -> tuple[int, dict[str, str], bytes]:
    """One exchange through the standard library's client."""
    client = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    try:
        client.request(method, path, body)
        answer = client.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        client.close()


# --- what is served


def test_an_app(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--port", "0", cwd=shop)
    assert server.first.startswith("dimserver: serving shop on http://127.0.0.1:")
    assert server.first.endswith(f" (pid {server.pid})\n")
    url = server.urls[0]
    status, headers, body = ask(url, "/")
    assert (status, body) == (200, b"index")
    assert headers["server"] == "dimserver"
    assert "date" in headers
    status, headers, body = ask(url, "/echo", "POST", b"x" * 100_000)
    assert (status, body) == (201, b"x" * 100_000)
    assert ask(url, "/none")[0] == 404
    status, headers, _ = ask(url, "/echo")
    assert status == 405
    assert headers["allow"] == "POST"
    status, headers, body = ask(url, "/", "HEAD")
    assert (status, headers["content-length"], body) == (200, "5", b"")
    assert ask(url, "/api/status")[0] == 404  # an app's paths are its own
    code, out, err = server.end()
    assert code == 0
    assert out.startswith("dimserver: stopped; 6 requests (0 failed) on 6 connections in ")
    assert err == ""


def test_a_fault_of_a_handler_is_a_500_without_detail_and_a_traceback_in_the_log(
    child: Start, shop: pathlib.Path
) -> None:
    server = child("run", "shop.py:app", "--port", "0", cwd=shop)
    status, _, body = ask(server.urls[0], "/broken")
    assert (status, body) == (500, b"Internal Server Error\n")
    assert ask(server.urls[0], "/")[0] == 200
    _, out, err = server.end()
    assert "2 requests (1 failed)" in out
    assert re.search(r"error: a handler failed: GET /broken \(request [0-9a-f]+\)\n", err)
    assert "RuntimeError: secret detail" in err
    assert "shop.py" in err


def test_without_an_app_it_serves_a_directory_and_the_built_in_endpoints(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "--static", "public", "--port", "0", cwd=shop)
    assert f"serving the built-in API and {shop}/public on" in server.first
    url = server.urls[0]
    assert ask(url, "/")[2] == b"<h1>front</h1>"
    status, headers, body = ask(url, "/a.txt")
    assert (status, body, headers["content-type"]) == (200, b"file a", "text/plain")
    assert ask(url, "/a.txt", "POST")[0] == 405
    assert ask(url, "/../shop.py")[0] == 404
    assert ask(url, "/b.txt")[0] == 404
    status = json.loads(ask(url, "/api/status")[2])
    assert status["status"] == "online"
    stats = json.loads(ask(url, "/api/stats")[2])
    assert stats["requests"]["total_requests"] >= 7
    assert stats["connections"]["spiral_2"]["total_created"] >= 2
    point = json.loads(ask(url, "/api/manifold/evaluate?spiral=0&layer=3&position=0")[2])
    assert point["layer_name"] == "active"
    assert ask(url, "/api/manifold/evaluate?layer=8")[0] == 400


def test_without_anything_it_serves_the_built_in_endpoints(child: Start, tmp_path: pathlib.Path) -> None:
    server = child("run", "--port", "0", cwd=tmp_path)
    assert ask(server.urls[0], "/api/status")[0] == 200
    status, headers, body = ask(server.urls[0], "/")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    for target in re.findall(rb'href="([^"]+)"', body):
        assert ask(server.urls[0], html.unescape(target.decode()))[0] == 200
    assert ask(server.urls[0], "/nowhere")[0] == 404


def test_an_app_with_files_and_built_in_endpoints(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--static=public", "--static-charset=utf-8", "--api", "--port=0", cwd=shop)
    url = server.urls[0]
    assert ask(url, "/")[2] == b"index"  # the app's route wins over the file
    _, headers, body = ask(url, "/a.txt")
    assert (body, headers["content-type"]) == (b"file a", "text/plain; charset=utf-8")
    assert ask(url, "/api/status")[0] == 200


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_curl(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--port", "0", cwd=shop)
    done = subprocess.run(
        ["curl", "-sS", "-i", "--max-time", "20", "-d", "a=1", f"{server.urls[0]}/echo"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("HTTP/1.1 201 Created\n")
    assert done.stdout.endswith("\n\na=1")
    big = shop / "big"
    big.write_bytes(os.urandom(2_000_000))
    done = subprocess.run(  # more than 1 MiB: curl sends `Expect: 100-continue`
        ["curl", "-sS", "--max-time", "20", "--data-binary", f"@{big}", f"{server.urls[0]}/echo"],
        capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout == big.read_bytes()


# --- where it listens


def test_a_unix_socket(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--uds", "s.sock", cwd=shop)
    path = shop / "s.sock"
    assert server.urls == [f"unix:{path}"]
    with server.connect() as wire:
        assert wire.get("/peer").answer()[2] == b'{"client":null,"spiral":0}'
    assert server.end()[0] == 0
    assert not path.exists()


def test_a_stale_unix_socket_is_replaced_and_a_live_one_is_not(child: Start, shop: pathlib.Path) -> None:
    path = shop / "s.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    server = child("run", "shop", "--uds", str(path), cwd=shop)
    with server.connect() as wire:
        assert wire.get().answer()[0] == 200
    second = child("run", "shop", "--uds", str(path), cwd=shop, announced=False)
    code, out, err = second.end(0)
    assert (code, out) == (1, "")
    assert err == f"dimserver: cannot listen on unix:{path}: the address is already in use\n"
    with server.connect() as wire:
        assert wire.get().answer()[0] == 200


def test_an_inherited_descriptor(child: Start, shop: pathlib.Path) -> None:
    with socket.socket() as parent:
        parent.bind(("127.0.0.1", 0))
        server = child("run", "shop", "--fd", str(parent.fileno()), cwd=shop, pass_fds=[parent.fileno()])
        assert server.urls == [f"http://127.0.0.1:{parent.getsockname()[1]}"]
        with server.connect() as wire:
            assert wire.get().answer()[2] == b"index"
        assert server.end()[0] == 0


def test_ipv6(child: Start, shop: pathlib.Path) -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    server = child("run", "shop", "--host", "[::1]", "--port", "0", cwd=shop)
    assert server.urls[0].startswith("http://[::1]:")
    with server.connect() as wire:
        assert json.loads(wire.get("/peer").answer()[2])["client"] == "::1"


@pytest.mark.parametrize("where", ["127.0.0.1:0", "./admin.sock"])
def test_the_admin_listener(child: Start, shop: pathlib.Path, where: str) -> None:
    server = child("run", "shop", "--port", "0", "--admin", where, cwd=shop)
    assert len(server.urls) == 2
    server.urls[1] = server.urls[1].replace("unix:./", f"unix:{shop}/")
    with server.connect(1) as wire:
        body = json.loads(wire.get("/api/stats").answer()[2])
        assert body["connections"]["spiral_3"]["active_connections"] == 1
        assert wire.get("/api/connections?spiral=3").answer()[0] == 200
        assert wire.get("/").answer()[0] == 404  # the app is not there
    assert ask(server.urls[0], "/api/status")[0] == 404  # and the endpoints are not on the app's listener
    assert server.end()[0] == 0
    assert not (shop / "admin.sock").exists()


def test_over_the_cap_is_a_503_and_the_operator_gets_in(child: Start, shop: pathlib.Path) -> None:
    server = child(
        "run", "shop", "--port", "0", "--admin", "127.0.0.1:0", "--max-connections", "3", "--admin-reserve", "1",
        cwd=shop,
    )  # fmt: skip
    inside = [server.connect().get() for _ in range(3)]
    assert all(wire.answer()[0] == 200 for wire in inside)
    outside = server.connect().get()
    status, headers, _ = outside.answer()
    assert (status, headers["connection"]) == (503, "close")
    assert int(headers["retry-after"]) > 0
    assert outside.ended()
    operator = server.connect(1)
    stats = json.loads(operator.get("/api/stats").answer()[2])
    assert stats["connections"]["spiral_0"]["total_connections"] == 3
    inside.pop().close()
    for _ in range(200):
        with server.connect() as wire:
            if wire.get().answer()[0] == 200:
                break
        time.sleep(0.02)
    else:
        pytest.fail("the place that became free is not given away")
    for wire in (*inside, outside, operator):
        wire.close()


# --- threads


def test_blocking_handlers_run_on_threads_and_answers_stay_in_order(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--port", "0", cwd=shop)
    with server.connect() as one, server.connect() as other:
        one.get("/slow?seconds=1").get("/").get("/slow?seconds=0").get("/where")
        begun = time.monotonic()
        assert other.get("/").answer()[2] == b"index"  # the loop is free meanwhile
        assert time.monotonic() - begun < 0.8
        answers = [one.answer()[2] for _ in range(4)]
        assert answers[0].startswith(b"slow on dimserver-")
        assert answers[1] == b"index"
        assert answers[2].startswith(b"slow on dimserver-")
        assert answers[3] == b"MainThread"


def test_with_threads_every_handler_runs_on_one(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--port", "0", "--threads", "3", cwd=shop)
    assert ask(server.urls[0], "/where")[2].startswith(b"dimserver-")
    wires = [server.connect() for _ in range(6)]
    begun = time.monotonic()
    for wire in wires:
        wire.get("/slow?seconds=0.2")
    names = {wire.answer()[2] for wire in wires}
    assert 0.35 < time.monotonic() - begun < 5
    assert names == {b"slow on dimserver-0", b"slow on dimserver-1", b"slow on dimserver-2"}
    for wire in wires:
        wire.close()


# --- the end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_lets_requests_in_flight_finish(child: Start, shop: pathlib.Path, number: int) -> None:
    server = child("run", "shop", "--port", "0", cwd=shop)
    idle, busy = server.connect(), server.connect()
    assert idle.get().answer()[0] == 200
    busy.get("/slow?seconds=0.6")
    time.sleep(0.2)
    server.hint(number)
    assert idle.ended()
    with pytest.raises(OSError):  # noqa: PT011 - refused, or reset
        server.connect().get().answer()
    status, headers, body = busy.answer()
    assert (status, headers["connection"]) == (200, "close")
    assert body.startswith(b"slow")
    assert busy.ended()
    code, out, err = server.end(0)
    assert code == 0
    assert "stopped; 2 requests (0 failed) on 2 connections in" in out
    assert err == ""


def test_a_request_that_came_before_the_stop_is_answered(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--port", "0", cwd=shop)
    kept = server.connect()
    assert kept.get().answer()[0] == 200
    os.kill(server.worker, signal.SIGSTOP)  # what comes now waits in the kernel, and so does the signal
    fresh = server.connect().get()
    kept.get()
    server.hint()
    os.kill(server.worker, signal.SIGCONT)
    assert kept.answer()[2] == b"index"
    assert fresh.answer()[2] == b"index"
    assert kept.ended()
    assert fresh.ended()
    assert server.end(0)[0] == 0


def test_draining_has_an_end(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--port", "0", "--drain", "300ms", cwd=shop)
    with server.connect() as wire:
        wire.get("/slow?seconds=30")
        time.sleep(0.2)
        begun = time.monotonic()
        code, out, _ = server.end()
        assert code == 0
        assert 0.25 < time.monotonic() - begun < 5
        assert ", 1 cut off at the end in" in out
        assert wire.ended()


@pytest.mark.parametrize("path", ["/slow?seconds=30", "/stuck"])
def test_the_second_signal_ends_at_once(child: Start, shop: pathlib.Path, path: str) -> None:
    server = child("run", "shop", "--port", "0", cwd=shop)
    with server.connect() as wire:
        wire.get(path)
        time.sleep(0.3)
        server.hint()
        time.sleep(0.3)
        assert server.process.poll() is None
        begun = time.monotonic()
        code, out, _ = server.end(signal.SIGINT)
        assert time.monotonic() - begun < 5
        assert code == 0
        assert "dimserver: stopped; 1 requests" in out


def test_an_idle_server_sleeps(child: Start, shop: pathlib.Path) -> None:
    status = pathlib.Path("/proc")
    if not status.exists():
        pytest.skip("no /proc here")
    server = child("run", "shop", "--port", "0", cwd=shop)

    def wakes() -> int:
        texts = [(status / str(pid) / "status").read_text() for pid in (server.pid, server.worker)]
        return sum(int(text.partition("voluntary_ctxt_switches:")[2].split()[0]) for text in texts)

    time.sleep(1)
    before = wakes()
    time.sleep(1.5)
    assert wakes() - before <= 1  # nothing can happen but an event
    with server.connect() as wire:
        assert wire.get().answer()[0] == 200
        before = wakes()
        time.sleep(1.5)
        assert wakes() - before <= 5  # twice a second, for the time limit of one connection
    assert server.end()[0] == 0


def test_a_start_imports_nothing_heavy(child: Start, shop: pathlib.Path) -> None:
    """Each of these takes a good part of the time to the first answer."""
    (shop / "light.py").write_text(
        "import sys\nfrom dimserver import App\napp = App()\napp.route('/', lambda request: ' '.join(sys.modules))\n"
    )
    server = child("run", "light", "--port", "0", "--static", "public", "--api", cwd=shop)
    loaded = set(ask(server.urls[0], "/")[2].decode().split())
    bare = subprocess.run(  # what the environment brings in by itself, with an editable installation for example
        [sys.executable, "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    loaded -= set(bare.stdout.split())
    heavy = {
        "asyncio", "concurrent.futures", "dataclasses", "difflib", "email", "encodings.idna", "http", "inspect", "json",
        "logging", "mimetypes", "pathlib", "queue", "shutil", "ssl", "subprocess", "tempfile", "threading", "traceback",
        "typing", "urllib",
    }  # fmt: skip
    assert sorted(loaded & heavy) == []


def test_nothing_is_left_open_and_nothing_warns(child: Start, shop: pathlib.Path) -> None:
    server = child(
        "run", "shop", "--port", "0", "--admin", "./a.sock", "--static", "public", "--threads", "2",
        cwd=shop, python=("-X", "dev", "-W", "error"),
    )  # fmt: skip
    for path in ("/", "/a.txt", "/slow?seconds=0", "/none"):
        ask(server.urls[0], path)
    code, _, err = server.end()
    assert (code, err) == (0, "")


# --- mistakes


def mistake(child: Start, *words: str, cwd: pathlib.Path, **options: Any) -> tuple[int, str]:
    code, out, err = child(*words, cwd=cwd, announced=False, **options).end(0)
    assert out == ""
    return code, err


def test_a_port_in_use(child: Start, shop: pathlib.Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = f"dimserver: cannot listen on 127.0.0.1:{port}: the address is already in use\n"
        assert mistake(child, "run", "shop", "--port", str(port), cwd=shop) == (1, line)
        assert mistake(child, "run", "shop", "--port", "0", "--admin", f"127.0.0.1:{port}", cwd=shop) == (1, line)
        (shop / "main.py").write_text(f"import shop\nshop.app.run(port={port})\n")
        assert mistake(child, cwd=shop, module=("main.py",)) == (1, line)


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["shopp"], 2, "no module named 'shopp' in "),
        (["nothere/shop.py"], 2, "no such file: 'nothere/shop.py'"),
        (["shop:ap"], 2, "module 'shop' has no attribute 'ap'; did you mean 'app'?"),
        (["shop:index"], 2, "'shop:index': the function shop.index takes one argument: it is neither a WSGI nor an "),
        (["--static", "nothere"], 2, "--static: no such directory: '{shop}/nothere'"),
        (["--static", "shop.py"], 2, "--static: not a directory: '{shop}/shop.py'"),
        (["--port", "http"], 2, "--port: 'http' is not allowed; allowed: a whole number from 0 to 65535"),
        (["--prot", "80"], 2, "unknown option '--prot'; did you mean '--port'?"),
        (["--workers", "many"], 2, "--workers: 'many' is not allowed; allowed: a whole number from 1 to 512, or auto"),
        (["--host", "no.host.invalid", "--port", "0"], 1, "cannot listen on no.host.invalid:0: unknown address"),
        (["--host", "192.0.2.1", "--port", "0"], 1, "cannot listen on 192.0.2.1:0: "),
        (["--fd", "97"], 1, "cannot listen on descriptor 97: "),
        (["--fd", "0"], 1, "cannot listen on descriptor 0: "),
        (["--uds", "shop.py"], 1, "cannot listen on unix:{shop}/shop.py: the path exists and is not a socket"),
        (["--uds", "nothere/s.sock"], 1, "cannot listen on unix:{shop}/nothere/s.sock: No such file or directory"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(child: Start, shop: pathlib.Path, words: list[str], code: int, line: str) -> None:
    ended, err = mistake(child, "run", *words, cwd=shop)
    assert ended == code
    assert err.startswith(f"dimserver: {line.format(shop=shop)}")
    assert err.count("\n") == 1


def test_a_directory_that_may_not_be_read(child: Start, shop: pathlib.Path) -> None:
    (shop / "public").chmod(0o300)
    line = f"dimserver: --static: no permission to read this directory: '{shop}/public'\n"
    ordinary = ("-c", f"{WITHOUT_ROOTS_RIGHTS}\nimport os, sys\nos.execv(sys.executable, {DIMSERVER})")
    assert mistake(child, "run", "--static", "public", cwd=shop, module=ordinary) == (2, line)


def test_a_syntax_error_in_the_users_module_is_shown(child: Start, shop: pathlib.Path) -> None:
    (shop / "wrong.py").write_text("from dimserver import App\napp = = App()\n")
    code, err = mistake(child, "run", "wrong", cwd=shop)
    assert code == 1
    assert "wrong.py" in err
    assert "app = = App()" in err
    assert "SyntaxError: invalid syntax" in err
    assert "importlib" not in err
    assert err.splitlines()[-1] == "dimserver: 'wrong' raised SyntaxError while it was loaded"


def test_an_async_handler_that_is_to_block_is_refused(child: Start, shop: pathlib.Path) -> None:
    (shop / "later.py").write_text(
        "from dimserver import App\napp = App()\n@app.get('/later', blocking=True)\nasync def handler(request): ...\n"
    )
    code, err = mistake(child, "run", "later", "--port", "0", cwd=shop)
    assert code == 1
    assert "later.py" in err  # the traceback leads to the line
    assert "GET /later: an async handler runs on the loop; it cannot be blocking as well" in err


def test_closed_standard_streams(child: Start, shop: pathlib.Path) -> None:
    # The listening socket must not become the standard error that messages are written to.
    port = free_port()
    script = f'exec "{sys.executable}" -m dimserver run shop --port {port} 0<&- 1>&- 2>&-'
    server = child(cwd=shop, module=("-c", f"import os; os.execvp('sh', ['sh', '-c', {script!r}])"), announced=False)
    for _ in range(400):
        try:
            assert ask(f"127.0.0.1:{port}", "/broken")[0] == 500
            break
        except ConnectionRefusedError:
            time.sleep(0.02)
    assert ask(f"127.0.0.1:{port}", "/")[2] == b"index"
    assert server.end()[0] == 0


# --- the access log


@pytest.mark.parametrize("form", ["common", "combined", "json"])
def test_the_access_log(child: Start, shop: pathlib.Path, form: str) -> None:
    server = child("run", "shop", "--port", "0", "--access-log", form, cwd=shop)
    with server.connect() as wire:
        wire.get("/?q=%22", 'User-Agent: tes"ter', "Referer: r").answer()
        wire.get("/none", method="POST").answer()
    code, out, err = server.end()
    assert code == 0
    lines = out.splitlines()
    assert len(lines) == 2  # nothing else is on that stream
    assert "dimserver: stopped;" in err
    if form == "json":
        first, second = map(json.loads, lines)
        assert (first["method"], first["target"], first["status"], first["bytes_out"]) == ("GET", "/?q=%22", 200, 5)
        assert (first["user_agent"], first["referer"], first["client"]) == ('tes"ter', "r", "127.0.0.1")
        assert (second["method"], second["status"], second["user_agent"]) == ("POST", 404, None)
    else:
        assert lines[0].startswith("127.0.0.1 - - [")
        assert '] "GET /?q=%22 HTTP/1.1" 200 5' in lines[0]
        assert '] "POST /none HTTP/1.1" 404 10' in lines[1]
        assert ('"r" "tes\\"ter"' in lines[0]) == (form == "combined")


@pytest.mark.parametrize("form", ["combined", "json"])
def test_the_access_log_of_clients_that_leave_before_they_are_answered(
    child: Start, shop: pathlib.Path, form: str
) -> None:
    """Their heads came in two pieces, so that the bytes lay in memory that goes with the connection."""
    (shop / "public" / "big.bin").write_bytes(bytes(400_000))
    server = child("run", "--static", "public", "--port", "0", "--access-log", form, cwd=shop)
    now = struct.pack("ii", 1, 0)
    address = server.urls[0].removeprefix("http://").rstrip("/").rsplit(":", 1)
    for _ in range(4):
        wires = [socket.create_connection((address[0], int(address[1]))) for _ in range(50)]
        for wire in wires:
            wire.sendall(b"GET /big.bin HTTP/1.1\r\nHost: x\r\nUser-Agent: m\r\n")
        time.sleep(0.05)
        for wire in wires:
            wire.sendall(b"\r\n")
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
            wire.close()
        assert ask(server.urls[0], "/a.txt")[2] == b"file a"  # the same process, and it has seen them all
    code, out, err = server.end()
    assert code == 0
    assert "error" not in err
    if form == "json":
        entries = [json.loads(line) for line in out.splitlines()]
        found = {(entry["method"], entry["target"], entry["user_agent"]) for entry in entries}
    else:
        pattern = r'[\d.]+ - - \[[^]]+\] "(\S+) (\S+) HTTP/1.1" \d+ \d+ "-" "([^"]+)"'
        matches = [re.fullmatch(pattern, line) for line in out.splitlines()]
        assert None not in matches, out
        found = {match.groups() for match in matches if match is not None}
    assert {entry for entry in found if entry[1] != "/a.txt"} <= {("GET", "/big.bin", "m")}


@pytest.mark.parametrize("how", ["asked for", "noticed"])
def test_rotation_of_the_access_log_under_load(child: Start, shop: pathlib.Path, how: str) -> None:
    path = shop / "access.log"
    words = ("--access-log", "json", "--access-log-file", "access.log", "--workers", "2")
    server = child("run", "shop", "--port", "0", *words, cwd=shop)
    asked = 0
    begun = time.monotonic()
    wires = [server.connect() for _ in range(6)]  # on both workers, as good as always
    for rotation in range(5 if how == "asked for" else 1):
        path.rename(shop / f"access.log.{rotation}")
        if how == "asked for":
            server.hint(signal.SIGUSR1)
        rounds = 0
        while rounds < 5 or not path.exists():
            rounds += 1
            for wire in wires:
                for _ in range(50):
                    wire.get(f"/n/{asked}")
                    asked += 1
            for wire in wires:
                for _ in range(50):
                    wire.answer()
            assert time.monotonic() - begun < 60
    for wire in wires:
        wire.close()
    assert server.end()[0] == 0
    found = [json.loads(line) for file in shop.glob("access.log*") for line in file.read_text().splitlines()]
    assert sorted(line["target"] for line in found) == sorted(f"/n/{number}" for number in range(asked))


def test_each_worker_logs_under_its_own_number(child: Start, shop: pathlib.Path) -> None:
    words = ("--access-log", "json", "--access-log-file", "access.log", "--workers", "2")
    server = child("run", "shop", "--port", "0", *words, cwd=shop)
    for _ in range(40):  # a connection each: the system spreads them over both
        with server.connect() as wire:
            wire.get().answer()
    assert server.end()[0] == 0
    lines = [json.loads(line) for line in (shop / "access.log").read_text().splitlines()]
    assert len({line["pid"] for line in lines}) == 2
    assert {line["worker"] for line in lines} == {0, 1}
    assert len({(line["pid"], line["worker"]) for line in lines}) == 2


def test_a_reader_of_the_access_log_that_does_not_read(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--port", "0", "--access-log", "json", cwd=shop)
    assert server.process.stderr is not None
    asked = 1
    with server.connect() as wire:
        # More than the pipe and the server keep, however much the writing thread has in hand: until it is told.
        while not select.select([server.process.stderr], [], [], 0)[0]:
            assert asked < 40_000, "36 MB of lines are kept, or what is dropped is not told"
            wire.send(b"GET /%s HTTP/1.1\r\nHost: test\r\n\r\n" % (b"x" * 900) * 100)
            for _ in range(100):
                assert wire.answer()[0] == 404
            asked += 100
        assert ask(server.urls[0], "/")[2] == b"index"
    server.hint()
    code, out, err = server.end(0)
    assert code == 0
    lines = [json.loads(line) for line in out.splitlines() if line.endswith("}")]
    dropped = sum(line.get("dropped", 0) for line in lines)
    assert "warning: the reader of the access log is too slow; lines are dropped" in err
    assert 0 < sum("status" in line for line in lines) < asked
    assert dropped or len(lines) < asked


def test_a_line_of_the_access_log_does_not_wait_for_the_next_request(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--port", "0", "--access-log", "common", cwd=shop)
    with server.connect() as wire:
        wire.get().answer()
    assert server.process.stdout.readline().startswith(b"127.0.0.1 - - [")


# --- the seed's form, and the examples


def test_the_seeds_form(child: Start, tmp_path: pathlib.Path) -> None:
    port = free_port()
    (tmp_path / "serve.py").write_text(
        "import json\n"
        "from dimserver import OptimizedDimensionalServer\n"
        f"server = OptimizedDimensionalServer(port={port})\n"
        "def handle_api(request):\n"
        "    return 200, {'Content-Type': 'application/json'}, json.dumps({'status': 'ok'}).encode()\n"
        "server.request_manifold.register_route('GET', '/api/status', handle_api)\n"
        "server.run_forever()\n"
    )
    server = child(cwd=tmp_path, module=("serve.py",))
    assert server.urls == [f"http://127.0.0.1:{port}"]
    assert ask(server.urls[0], "/api/status")[2] == b'{"status": "ok"}'  # its own route wins
    assert json.loads(ask(server.urls[0], "/api/stats")[2])["requests"]["total_requests"] == 2
    code, out, err = server.end(signal.SIGINT)
    assert (code, err) == (0, "")
    assert "stopped; 2 requests" in out


ASKED = {
    "hello.py": [("GET", "/", None, 200, b"Hello, World!\n"), ("GET", "/hello/you", None, 200, b"Hello, you!\n")],
    "json_api.py": [
        ("POST", "/notes", b'{"text": "milk"}', 201, b'"milk"'),
        ("GET", "/notes?contains=mi", None, 200, b'"milk"'),
        ("POST", "/notes", b"{", 400, b"error"),
        ("DELETE", "/notes/1", None, 200, b'"milk"'),
        ("GET", "/notes/1", None, 404, b"no such note"),
    ],
    "chat.py": [
        ("GET", "/lobby", None, 200, b"<title>chat</title>"),
        ("GET", "/lobby/socket", None, 426, b"this is a WebSocket"),
    ],
    "ticker.py": [
        ("GET", "/", None, 200, b"<title>Ticker</title>"),
        ("GET", "/ws", None, 426, b"this is a WebSocket"),
    ],
    "seed_server.py": [
        ("GET", "/api/hello", None, 200, b"ok"),
        ("GET", "/api/coordinates", None, 200, b"z_value"),
        ("GET", "/api/status", None, 200, b"online"),
    ],
}


def test_every_example_is_asked() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(ASKED)


@pytest.mark.parametrize("name", ASKED)
def test_examples(child: Start, name: str) -> None:
    target = f"examples/{name}:server" if name == "seed_server.py" else f"examples/{name}"
    server = child("run", target, "--port", "0", cwd=ROOT)
    for method, path, body, status, part in ASKED[name]:
        answer = ask(server.urls[0], path, method, body)
        assert answer[0] == status, path
        assert part in answer[2], path
    assert server.end()[0] == 0


def test_the_static_example(child: Start) -> None:
    server = child("run", "--static", "examples/static_site", "--port", "0", cwd=ROOT)
    for path, kind in (("/", "text/html"), ("/style.css", "text/css"), ("/live.js", "text/javascript")):
        status, headers, body = ask(server.urls[0], path)
        assert (status, headers["content-type"].partition(";")[0]) == (200, kind)
        assert body


# --- where its lines go -------------------------------------------------------------------------

RAISES = """
from dimserver import App
app = App()

@app.get("/")
def bad(request):
    raise ValueError("on purpose")
"""


def test_django_s_module_needs_no_attribute(child: Any, tmp_path: pathlib.Path) -> None:
    (tmp_path / "mysite").mkdir()
    (tmp_path / "mysite/wsgi.py").write_text(
        "def application(environ, start):\n    start('200 OK', [])\n    return [b'of Django']\n"
    )
    server = child("run", "mysite.wsgi", "--port", "0", cwd=tmp_path)
    assert server.connect().get().answer()[2] == b"of Django"


def test_every_line_is_json(child: Any, tmp_path: pathlib.Path) -> None:
    server = child("run", "--port", "0", "--log-format", "json", "--log-level", "error", announced=False, cwd=tmp_path)
    first = json.loads(server.process.stderr.readline())
    assert re.fullmatch(r"serving the built-in API on http://127\.0\.0\.1:\d+ \(pid \d+\)", first["message"])
    code, out, err = server.end()
    assert (code, out) == (0, "")
    assert json.loads(err)["message"].startswith("stopped; 0 requests")


def test_the_log_file_has_the_first_and_the_last_line(child: Any, tmp_path: pathlib.Path) -> None:
    server = child("run", "--port", "0", "--log-file", "log", cwd=tmp_path)
    assert server.end()[0] == 0
    first, *_, last = (tmp_path / "log").read_text().splitlines()
    assert " info: serving the built-in API on http://" in first
    assert " info: stopped; 0 requests" in last


def test_standard_output_as_the_log(child: Any, tmp_path: pathlib.Path) -> None:
    words = ("--log-file", "-", "--access-log", "common", "--access-log-file", "-")
    (tmp_path / "bad_.py").write_text(RAISES)
    server = child("run", "bad_", "--port", "0", *words, cwd=tmp_path)
    assert server.connect().get().answer()[0] == 500
    code, out, _ = server.end()
    assert code == 0
    assert '"GET / HTTP/1.1" 500' in out
    assert " error: " in out
    assert "  ValueError: on purpose" in out
    assert not (tmp_path / "-").exists()


@pytest.mark.parametrize("which", ["stdout", "stderr"])
def test_a_stream_that_nobody_reads_does_not_keep_the_server_from_ending(tmp_path: pathlib.Path, which: str) -> None:
    reader, writer = os.pipe()
    words = [sys.executable, "-m", "dimserver", "run", "--uds", "s"]
    if which == "stderr":
        words += ["--access-log", "common"]  # which has the lines at the start and the end on standard error
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, which: writer}
    process = subprocess.Popen(words, cwd=tmp_path, env=child_environment(), **streams)
    try:
        assert b"dimserver: serving" in os.read(reader, 65536)
        os.set_blocking(writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, b"." * 4096)
        os.set_blocking(writer, True)
        process.terminate()
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
        os.close(reader)
        os.close(writer)


@pytest.mark.skipif(not pathlib.Path("/dev/full").exists(), reason="a device that is full is of Linux")
def test_a_traceback_survives_a_full_disk(child: Any, tmp_path: pathlib.Path) -> None:
    (tmp_path / "bad_.py").write_text(RAISES)
    server = child("run", "bad_", "--port", "0", "--log-file", "/dev/full", cwd=tmp_path)
    assert server.connect().get().answer()[0] == 500
    err = server.end()[2]
    assert "cannot write the log '/dev/full': No space left on device" in err
    assert "ValueError: on purpose" in err


@pytest.mark.parametrize(("words", "limit"), [
    (("--max-per-address", "1"), "max-per-address (1)"),
    (("--max-http", "1"), "max-http (1)"),
    (("--max-connections", "1"), "max-connections (1)"),
])  # fmt: skip
def test_clients_without_a_place_are_in_the_log(child: Any, words: tuple[str, ...], limit: str) -> None:
    server = child("run", "--port", "0", *words)
    first = server.connect().get("/none")
    assert first.answer()[0] == 404
    for _ in range(3):
        assert server.connect().answer()[0] == 503
    err = server.end()[2]
    assert err.count(f"clients are refused with 503: {limit} is reached, last by 127.0.0.1") == 1
