"""The sockets of a server: one for each slot or one for all, kept while workers come and go."""

from __future__ import annotations

import os
import pathlib
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.processes import descriptors

from dimserver.config import Settings
from dimserver.errors import StartError
from dimserver.net import sockets as module
from dimserver.net.listener import GROUPS, describe
from dimserver.net.sockets import Sockets

grouped = pytest.mark.skipif(not GROUPS, reason="the system has no groups of sockets")


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    before = descriptors()
    yield
    assert descriptors() == before


def accepted(sock: socket.socket) -> int:
    number = 0
    while True:
        try:
            sock.accept()[0].close()
        except BlockingIOError:
            return number
        number += 1


def connect(url: str, number: int) -> list[socket.socket]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    return [socket.create_connection((host, int(port))) for _ in range(number)]


def test_one_socket_for_all() -> None:
    sockets = Sockets(Settings(port=0))
    (door,) = sockets.doors()
    assert sockets.doors(3)[0].sock is door.sock
    assert not door.admin
    assert not door.kept
    assert sockets.urls == [describe(door.sock)]
    assert not sockets.starve(0)
    assert not sockets.has_own(0)
    sockets.close()
    sockets.close()
    assert door.sock.fileno() == -1


def test_the_admin_listener_is_marked(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.sock"
    sockets = Sockets(Settings(port=0, admin=str(path)), grouped=True)
    main, admin = sockets.doors(0)
    assert [door.admin for door in (main, admin)] == [False, True]
    assert sockets.urls == [describe(main.sock), f"unix:{path}"]
    sockets.close()
    assert not path.exists()
    sockets = Sockets(Settings(port=0, admin="127.0.0.1:0"))
    assert [door.admin for door in sockets.doors()] == [False, True]
    sockets.close()


def test_a_file_is_removed_by_its_owner_only(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "s"
    first = Sockets(Settings(uds=str(path)))
    path.unlink()
    second = Sockets(Settings(uds=str(path)))
    first.close()
    assert path.exists()
    second.forget()  # a child's copies
    assert path.exists()
    second.close()
    assert not path.exists()
    third = Sockets(Settings(uds=str(path)))
    path.unlink()
    third.close()


def test_a_file_that_cannot_be_removed_is_told(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    log: Any = type("Told", (), {"warning": told.append})
    sockets = Sockets(Settings(uds=str(tmp_path / "s")))

    def refuse(path: str) -> None:
        raise PermissionError(1, "not allowed")

    monkeypatch.setattr(os, "unlink", refuse)
    sockets.close(log)
    assert told == [f"unix:{tmp_path}/s: cannot be removed: not allowed"]


def test_descriptors_of_a_service_manager() -> None:
    main, admin = socket.socket(), socket.socket()
    for sock in (main, admin):
        sock.bind(("127.0.0.1", 0))
        sock.listen()
    urls = [describe(main), describe(admin)]
    sockets = Sockets(Settings(port=1, admin="127.0.0.1:1"), passed=[(admin.detach(), "admin"), (main.detach(), "web")])
    assert sockets.urls == urls
    assert [(door.admin, door.kept) for door in sockets.doors()] == [(False, True), (True, True)]
    sockets.close()


def test_a_start_that_fails_leaves_nothing_open(tmp_path: pathlib.Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(StartError, match="in use"):
            Sockets(Settings(uds=str(tmp_path / "s"), admin=f"127.0.0.1:{taken.getsockname()[1]}"))
    assert not (tmp_path / "s").exists()


@grouped
def test_each_slot_has_a_socket_of_its_own() -> None:
    sockets = Sockets(Settings(port=0), grouped=True)
    doors = [sockets.doors(number)[0] for number in (2, 0, 1)]
    assert len({door.sock.fileno() for door in doors}) == 3
    assert {describe(door.sock) for door in doors} == set(sockets.urls)
    assert sockets.doors(2)[0].sock is doors[0].sock
    clients = connect(sockets.urls[0], 60)
    assert sum(counts := [accepted(door.sock) for door in doors]) == 60
    assert min(counts) > 0
    for client in clients:
        client.close()
    sockets.close()


@grouped
def test_the_group_lets_no_second_server_in() -> None:
    sockets = Sockets(Settings(port=0), grouped=True)
    sockets.doors(1)
    port = int(sockets.urls[0].rpartition(":")[2])
    for together in (True, False):
        with pytest.raises(StartError, match="in use"):
            Sockets(Settings(port=port), grouped=together)
    sockets.close()


@grouped
def test_a_starved_slot_gets_nothing_new_and_can_be_fed_again() -> None:
    sockets = Sockets(Settings(port=0), grouped=True)
    doors = [sockets.doors(number)[0] for number in range(3)]
    assert not sockets.starve(0)
    assert sockets.starve(2)
    clients = connect(sockets.urls[0], 40)
    counts = [accepted(door.sock) for door in doors]
    assert counts[2] == 0
    assert sum(counts) == 40
    sockets.feed(2)
    clients += connect(sockets.urls[0], 60)
    counts = [accepted(door.sock) for door in doors]
    assert sum(counts) == 60
    assert min(counts) > 0
    assert sockets.starve(2)
    assert accepted(doors[2].sock) == 0
    sockets.close_slot(2)
    sockets.close_slot(0)  # the first one stays
    clients += connect(sockets.urls[0], 40)
    assert sum(accepted(door.sock) for door in doors[:2]) == 40
    sockets.feed(2)
    sockets.doors(2)  # grown again: the kernel's numbers are the slots' once more
    clients += connect(sockets.urls[0], 60)
    counts = [accepted(sockets.doors(number)[0].sock) for number in range(3)]
    assert sum(counts) == 60
    assert min(counts) > 0
    for client in clients:
        client.close()
    sockets.close()


@grouped
def test_a_socket_that_is_opened_for_a_slot_that_is_to_close_gets_nothing() -> None:
    """Its worker was on the way when the slot was given up; or another one is started in a slot that stays."""
    sockets = Sockets(Settings(port=0), grouped=True)
    sockets.doors(1)
    assert not sockets.starve(2)  # there is nothing to be emptied
    doors = [sockets.doors(number)[0] for number in range(3)]
    clients = connect(sockets.urls[0], 40)
    assert sockets.starve(1)
    sockets.doors(0)
    counts = [accepted(door.sock) for door in doors]
    assert counts[2] == 0
    assert sum(counts) == 40
    clients += connect(sockets.urls[0], 20)
    assert [accepted(door.sock) for door in doors] == [20, 0, 0]
    for client in clients:
        client.close()
    sockets.close()


@grouped
def test_a_kernel_that_cannot_steer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SO_ATTACH_REUSEPORT_CBPF", 9999)
    sockets = Sockets(Settings(port=0), grouped=True)
    sockets.doors(1)
    assert sockets.starve(1)
    clients = connect(sockets.urls[0], 40)
    assert sum(accepted(sockets.doors(number)[0].sock) for number in (0, 1)) == 40
    for client in clients:
        client.close()
    sockets.close()


@grouped
def test_one_more_socket_may_be_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    sockets = Sockets(Settings(port=0), grouped=True)

    def refuse(*args: Any) -> None:
        raise OSError(24, "too many open files")

    monkeypatch.setattr(module, "open_beside", refuse)
    with pytest.raises(StartError, match=r"^cannot listen on http://127.0.0.1:\d+ again: too many open files$"):
        sockets.doors(1)
    sockets.close()


def test_the_queue_can_be_made_longer(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "s")
    sockets = Sockets(Settings(uds=path, backlog=1))
    clients = [socket.socket(socket.AF_UNIX) for _ in range(20)]

    def connected() -> int:
        number = 0
        for client in clients:
            client.setblocking(False)
            try:
                client.connect(path)
                number += 1
            except (BlockingIOError, OSError):
                break
        return number

    short = connected()
    sockets.set_backlog(100)
    for client in clients:
        client.close()
    clients = [socket.socket(socket.AF_UNIX) for _ in range(20)]
    time.sleep(0)
    assert short < 5 <= connected()
    for client in clients:
        client.close()
    sockets.close()
