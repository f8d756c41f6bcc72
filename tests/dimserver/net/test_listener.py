"""Listening sockets: every way they are opened, and what is said when they cannot be."""

from __future__ import annotations

import errno
import os
import pathlib
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from tests.rights import ordinary
from tests.support.processes import descriptors

from dimcore import ConnectionPoolManifold, Core, Host, RequestSubstrate, Router, Site
from dimserver.errors import StartError
from dimserver.net import listener as module
from dimserver.net.listener import (
    UNSENT_BYTES,
    Listener,
    describe,
    hide_descriptor,
    open_descriptor,
    open_others,
    open_tcp,
    open_unix,
)
from dimserver.net.loop import Loop


class Told:
    """A log that remembers."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def error(self, line: str) -> None:
        self.lines.append(("error", line))

    def warning(self, line: str) -> None:
        self.lines.append(("warning", line))


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    before = descriptors()
    yield
    assert descriptors() == before


def privileged_ports() -> bool:
    """Whether an ordinary user may not bind port 1, which containers often allow."""
    try:
        return int(pathlib.Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) > 1
    except FileNotFoundError:  # no Linux
        return True


PRIVILEGED_PORTS = privileged_ports()


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


# --- TCP


@pytest.mark.parametrize(
    ("host", "bound"), [("127.0.0.1", "127.0.0.1"), ("", "0.0.0.0"), ("*", "0.0.0.0"), ("0.0.0.0", "0.0.0.0")]
)
def test_open_tcp(host: str, bound: str) -> None:
    with open_tcp(host, 0, 5) as sock:
        assert sock.getsockname()[0] == bound
        assert not sock.getblocking()
        assert not sock.get_inheritable()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        assert describe(sock) == f"http://{bound}:{sock.getsockname()[1]}"
        with socket.create_connection(("127.0.0.1", sock.getsockname()[1])):
            pass


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_ipv6() -> None:
    with open_tcp("::1", 0, 5) as sock:
        assert describe(sock) == f"http://[::1]:{sock.getsockname()[1]}"
    with open_tcp("::", 0, 5) as sock, socket.create_connection(("127.0.0.1", sock.getsockname()[1])):
        pass  # every address is IPv4 too


def test_a_name_stands_for_the_first_address_this_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(address: str) -> tuple[Any, ...]:
        return socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)

    monkeypatch.setattr(module.socket, "getaddrinfo", lambda *given, **more: [found("192.0.2.1"), found("127.0.0.1")])
    with open_tcp("somewhere", 0, 5) as sock:
        assert sock.getsockname()[0] == "127.0.0.1"
    monkeypatch.setattr(module.socket, "getaddrinfo", lambda *given, **more: [found("192.0.2.1")])
    with pytest.raises(StartError, match="cannot listen on somewhere:0: "):
        open_tcp("somewhere", 0, 5)


def test_a_port_in_use() -> None:
    with open_tcp("127.0.0.1", 0, 5) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=f"^cannot listen on 127.0.0.1:{port}: the address is already in use$"):
            open_tcp("127.0.0.1", port, 5)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "größe.invalid", "x" * 70 + ".invalid", "..", "1.2.3.4.5"])
def test_an_unknown_name(host: str) -> None:
    with pytest.raises(StartError, match="unknown address"):
        open_tcp(host, 0, 5)


@pytest.mark.skipif(not PRIVILEGED_PORTS, reason="any port may be bound here, by any user")
def test_a_port_that_is_not_allowed() -> None:
    with pytest.raises(StartError, match="permission denied"):
        ordinary(lambda: open_tcp("127.0.0.1", 1, 5))


@pytest.mark.parametrize(("port", "hint"), [(80, True), (8080, False)])
def test_a_port_below_1024_says_who_may(monkeypatch: pytest.MonkeyPatch, port: int, hint: bool) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(module, "_listening", refuse)
    with pytest.raises(StartError) as raised:
        open_tcp("127.0.0.1", port, 5)
    said = str(raised.value)
    assert said.startswith(f"cannot listen on 127.0.0.1:{port}: permission denied")
    assert ("CAP_NET_BIND_SERVICE" in said) == hint


# --- Unix sockets


def test_open_unix(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "s")
    with open_unix(path, 5) as sock:
        assert stat.S_ISSOCK(pathlib.Path(path).stat().st_mode)
        assert not sock.getblocking()
        assert describe(sock) == f"unix:{path}"
        with pytest.raises(StartError, match=f"^cannot listen on unix:{path}: the address is already in use$"):
            open_unix(path, 5)
    with open_unix(path, 5):  # stale now
        pass


@pytest.mark.parametrize("mode", [0o666, 0o600, 0o660, 0o777])
@pytest.mark.parametrize("umask", [0o077, 0o000])
def test_the_permissions_are_those_asked_for(tmp_path: pathlib.Path, mode: int, umask: int) -> None:
    path = tmp_path / "s"
    before = os.umask(umask)
    try:
        with open_unix(str(path), 5, mode):
            assert stat.S_IMODE(path.stat().st_mode) == mode
        with open_unix(str(path), 5, 0o640):  # one that is replaced leaves nothing of itself
            assert stat.S_IMODE(path.stat().st_mode) == 0o640
    finally:
        os.umask(before)


def test_nobody_gets_in_before_the_permissions_are_set(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s"
    seen: list[int] = []

    def chmod(given: str, mode: int) -> None:
        with socket.socket(socket.AF_UNIX) as client:
            seen.append(client.connect_ex(given))
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(module.os, "chmod", chmod)
    with pytest.raises(StartError, match=f"^cannot listen on unix:{path}: {os.strerror(errno.EPERM)}$"):
        open_unix(str(path), 5)
    assert seen == [errno.ECONNREFUSED]
    assert not path.exists()  # what could not be finished is not left behind


def test_the_socket_of_a_server_that_was_killed_is_replaced(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "s")
    program = (
        "import os, sys\n"
        "from dimserver.net.listener import open_unix\n"
        "kept = open_unix(sys.argv[1], 5)\n"
        "os._exit(0)  # no close, no removal, as after kill -9\n"
    )
    subprocess.run([sys.executable, "-c", program, path], check=True, timeout=60)
    assert stat.S_ISSOCK(pathlib.Path(path).stat().st_mode)
    with open_unix(path, 5), socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full queue cannot be told from a dead server")
def test_a_server_that_does_not_accept_is_not_replaced(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "s")
    with open_unix(path, 1):
        clients = []
        for _ in range(10):
            client = socket.socket(socket.AF_UNIX)
            client.setblocking(False)
            clients.append(client)
            if client.connect_ex(path):
                break
        else:
            raise AssertionError("the queue does not fill")
        with pytest.raises(StartError, match="the address is already in use"):
            open_unix(path, 5)
        assert pathlib.Path(path).exists()
        for client in clients:
            client.close()


def test_a_live_socket_of_another_type_is_not_replaced(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(path)
        with pytest.raises(StartError, match="the address is already in use"):
            open_unix(path, 5)
        assert pathlib.Path(path).exists()


@pytest.mark.parametrize("kind", ["file", "directory", "link", "dangling"])
def test_something_else_at_the_path_stays(tmp_path: pathlib.Path, kind: str) -> None:
    path = tmp_path / "s"
    if kind == "file":
        path.write_text("precious")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "target")
        if kind == "link":
            with socket.socket(socket.AF_UNIX) as other:
                other.bind(str(tmp_path / "target"))
    with pytest.raises(StartError, match="the path exists and is not a socket"):
        open_unix(str(path), 5)
    assert path.is_symlink() or path.exists()


def test_a_directory_that_is_not_there(tmp_path: pathlib.Path) -> None:
    with pytest.raises(StartError, match="No such file or directory"):
        open_unix(str(tmp_path / "none" / "s"), 5)


# --- descriptors


def test_a_descriptor_that_was_passed_is_hidden_from_programs(tmp_path: pathlib.Path) -> None:
    for family, address in ((socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_UNIX, str(tmp_path / "s"))):
        with socket.socket(family) as sock:
            sock.bind(address)
            sock.set_inheritable(True)
            assert hide_descriptor(sock.fileno())
            assert not sock.get_inheritable()
    # What cannot be listened on is somebody else's: standard error as a stream socket, for example.
    assert not hide_descriptor(999)
    for family, kind in ((socket.AF_UNIX, socket.SOCK_STREAM), (socket.AF_INET, socket.SOCK_DGRAM)):
        with socket.socket(family, kind) as sock:
            sock.set_inheritable(True)
            assert not hide_descriptor(sock.fileno())
            assert sock.get_inheritable()
    reader, writer = os.pipe()
    os.set_inheritable(reader, True)
    assert not hide_descriptor(reader)
    assert os.get_inheritable(reader)
    os.close(reader)
    os.close(writer)


def test_open_descriptor(tmp_path: pathlib.Path) -> None:
    for family, name in ((socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_UNIX, str(tmp_path / "s"))):
        parent = socket.socket(family)
        parent.bind(name)
        fd = parent.detach()
        os.set_inheritable(fd, True)
        with open_descriptor(fd, 7) as sock:
            assert sock.fileno() == fd
            assert not sock.get_inheritable()
            assert not sock.getblocking()
            with socket.socket(family) as client:
                client.connect(sock.getsockname())


def test_a_descriptor_that_will_not_do(tmp_path: pathlib.Path) -> None:
    with pytest.raises(StartError, match=f"^cannot listen on descriptor 999: {os.strerror(errno.EBADF)}$"):
        open_descriptor(999, 5)
    reader, writer = os.pipe()
    with pytest.raises(StartError, match=f"cannot listen on descriptor {reader}: "):
        open_descriptor(reader, 5)
    os.close(reader)
    os.close(writer)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        with pytest.raises(StartError, match="it is not a stream socket"):
            open_descriptor(sock.fileno(), 5)
        assert sock.getsockname()  # still open
    for family in (socket.AF_INET, socket.AF_UNIX):
        with socket.socket(family) as sock, pytest.raises(StartError, match="not bound to an address"):
            open_descriptor(sock.fileno(), 5)
    one, other = socket.socketpair()
    with one, other, pytest.raises(StartError, match="cannot listen on descriptor"):
        open_descriptor(one.fileno(), 5)


# --- Listener


class Served:
    """A listener in a loop that is driven by hand."""

    def __init__(self, sock: socket.socket) -> None:
        self.pools = ConnectionPoolManifold()
        self.core = Core(self.pools, RequestSubstrate())
        self.loop = Loop()
        self.told: Any = Told()
        router = Router()
        router.add("GET", "/", lambda request: "index")
        selector = self.loop.selector
        self.core.attach(Host(register=selector.register, modify=selector.modify, unregister=selector.unregister))
        self.listener = Listener(sock, Site(self.core, router), self.loop, self.told)

    def turn(self, seconds: float = 0.0) -> None:
        self.loop._stopping = False
        self.loop.call_later(seconds, self.loop.stop)
        self.loop.run(lambda: None)

    def close(self) -> None:
        self.listener.close()
        for layer in range(1, 8):
            for connection in self.pools.index.get_at(0, layer):
                connection.close()  # type: ignore[attr-defined]
        self.loop.close()


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served(open_tcp("127.0.0.1", 0, 50))
    yield made
    made.close()


def test_it_accepts(served: Served) -> None:
    with socket.create_connection(served.listener.sock.getsockname()) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        served.turn()
        served.turn()
        assert client.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
    assert served.listener.url == describe(served.listener.sock)


def test_accept_all_empties_the_queue(served: Served) -> None:
    clients = [socket.create_connection(served.listener.sock.getsockname()) for _ in range(20)]  # several batches
    served.listener.accept_all()
    assert served.pools.index.count_at(0, 1) == 20
    for client in clients:
        client.close()


def test_out_of_descriptors_it_pauses_says_so_once_and_comes_back(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.05)
    served.listener._exhausted()
    served.listener._exhausted()
    assert served.listener.sock.fileno() not in served.loop.selector.keys
    ((level, line),) = served.told.lines
    assert level == "error"
    assert line.startswith(f"{served.listener.url}: out of descriptors or memory; ")
    served.turn(0.1)
    assert served.listener.sock.fileno() in served.loop.selector.keys
    served.listener._exhausted()
    served.listener.close()
    served.turn(0.1)  # a pause that ends after the end


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="not an option of this system")
def test_what_the_kernel_holds_of_an_answer_is_bounded_on_accepted_sockets() -> None:
    with open_tcp("127.0.0.1", 0, 1) as listening, socket.create_connection(listening.getsockname()):
        listening.setblocking(True)
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == UNSENT_BYTES


# --- a name with several addresses ----------------------------------------------------------------


def two_addresses(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[int, str]) -> None:
    def resolve(host: Any, port: int, *more: Any, **named: Any) -> list[Any]:
        return [(family, socket.SOCK_STREAM, 6, "", (address, port)) for family, address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def test_every_address_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    four = socket.AF_INET
    two_addresses(monkeypatch, (four, "127.0.0.1"), (four, "127.0.0.2"), (four, "127.0.0.1"), (four, "192.0.2.1"))
    with open_tcp("both", 0, 5) as first:
        (other,) = open_others("both", first, 5)  # the last one is not this machine's
        assert other.getsockname() == ("127.0.0.2", first.getsockname()[1])
        with pytest.raises(StartError, match=r"127\.0\.0\.2:\d+ \(both\): the address is already in use"):
            open_others("both", first, 5)
        other.close()


def test_localhost_is_both() -> None:
    with open_tcp("localhost", 0, 5) as first:
        others = open_others("localhost", first, 5)
        for sock in (first, *others):
            socket.create_connection(sock.getsockname()[:2], 5).close()
            sock.close()
