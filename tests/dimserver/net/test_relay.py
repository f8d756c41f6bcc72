"""Links between the workers of a server, all of them on one loop here: who finds whom, and what a slow one costs."""

from __future__ import annotations

import os
import pathlib
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.waiting import PATIENCE

from dimserver.net import relay as module
from dimserver.net.loop import Loop
from dimserver.net.relay import HEAD, MAGIC, Relay
from dimserver.net.throttled_log import ThrottledLog

Scenario = Iterator[None]


def wait(condition: Callable[[], object]) -> Scenario:
    """Rounds of the loop until something is so."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        yield


def rounds(number: int = 5) -> Scenario:
    for _ in range(number):
        yield


class Worker:
    """A relay, and what it was given."""

    def __init__(self, street: Street, most: int) -> None:
        self.got: list[tuple[str, bool, bytes]] = []
        self.said: list[str] = []
        self.relay = Relay(street.directory, street.loop, self.take, most, ThrottledLog(self.said.append))

    def take(self, *message: Any) -> None:
        self.got.append(message)


class Street:
    """Workers in one directory."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.loop = Loop()
        self.workers: list[Worker] = []

    def open(self, most: int = 1 << 20) -> Worker:
        self.workers.append(Worker(self, most))
        return self.workers[-1]

    def meet(self, *workers: Worker) -> Scenario:
        return wait(lambda: all(worker.relay.workers == len(workers) - 1 for worker in workers))

    def play(self, scenario: Scenario) -> None:
        """Run the loop; one step of the scenario a round."""

        def step() -> None:
            try:
                next(scenario)
            except BaseException as error:
                self.loop.stop()
                if not isinstance(error, StopIteration):
                    failed.append(error)
            else:
                self.loop.call_soon(step)

        failed: list[BaseException] = []
        self.loop.call_soon(step)
        self.loop.run(lambda: None)
        if failed:
            raise failed[0]

    def close(self) -> None:
        for worker in self.workers:
            worker.relay.close()
        self.loop.close()


@pytest.fixture
def street(tmp_path: pathlib.Path) -> Iterator[Street]:
    before = sorted(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else []  # noqa: PTH112, PTH208
    made = Street(str(tmp_path))
    yield made
    made.close()
    assert list(tmp_path.iterdir()) == []
    if before:
        assert sorted(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_everybody_gets_what_the_others_publish(street: Street) -> None:
    def scenario() -> Scenario:
        workers = [street.open() for _ in range(4)]
        yield from street.meet(*workers)
        for number, worker in enumerate(workers):
            worker.relay.publish("é", True, f"{number}".encode())
            worker.relay.publish("x" * 255, False, b"\0" * number)
        yield from wait(lambda: all(len(worker.got) == 6 for worker in workers))
        for number, worker in enumerate(workers):
            others = [other for other in range(4) if other != number]
            assert sorted(worker.got) == sorted(
                [("é", True, f"{other}".encode()) for other in others]
                + [("x" * 255, False, b"\0" * other) for other in others]
            )
        assert [worker.relay.sent for worker in workers] == [6, 6, 6, 6]

    street.play(scenario())


def test_newcomers_and_those_who_leave(street: Street) -> None:
    def scenario() -> Scenario:
        one = street.open()
        one.relay.publish("a", True, b"nobody is there")
        two = street.open()
        yield from street.meet(one, two)
        three = street.open()
        yield from street.meet(one, two, three)
        one.relay.publish("a", True, b"to both")
        yield from wait(lambda: two.got and three.got)
        two.relay.close()
        two.relay.close()
        yield from street.meet(one, three)
        three.relay.publish("a", True, b"to one")
        yield from wait(lambda: one.got)
        assert (one.got, two.got) == ([("a", True, b"to one")], [("a", True, b"to both")])
        four = street.open()
        yield from street.meet(one, three, four)
        four.relay.publish("a", False, b"!")
        yield from wait(lambda: len(one.got) == 2 and len(three.got) == 2)

    street.play(scenario())


def test_nobody_waits_until_all_have_met(street: Street) -> None:
    """The first thing a newcomer does is to publish, and the first thing it gets is from before it was accepted."""

    def scenario() -> Scenario:
        one, two = street.open(), street.open()
        yield from street.meet(one, two)
        three, four = street.open(), street.open()
        three.relay.publish("a", True, b"3")
        four.relay.publish("a", True, b"4")
        yield from wait(lambda: all(len(worker.got) == 2 for worker in (one, two)))
        assert sorted(one.got) == sorted(two.got) == [("a", True, b"3"), ("a", True, b"4")]
        yield from wait(lambda: three.got)
        assert (three.got, four.got) == ([("a", True, b"4")], [("a", True, b"3")])
        yield from street.meet(one, two, three, four)

    street.play(scenario())


def test_two_that_call_each_other(street: Street) -> None:
    """Both begin at the same moment: each message comes once, and in order, whichever connection it takes."""

    def scenario() -> Scenario:
        one = street.open()
        two = street.open()
        one.relay._join(two.relay.name)  # it does not know that two has called already
        for number in range(20):
            for worker in (one, two):
                worker.relay.publish("a", False, bytes([number]))
            yield
        yield from wait(lambda: len(one.got) == len(two.got) == 20)
        assert [payload[0] for _, _, payload in one.got] == [payload[0] for _, _, payload in two.got] == list(range(20))
        assert (one.relay.workers, two.relay.workers) == (1, 1)
        one.relay.close()
        yield from wait(lambda: two.relay.workers == 0 and not two.relay._further)

    street.play(scenario())


def test_large_messages_and_their_order(street: Street) -> None:
    def scenario() -> Scenario:
        one, two = street.open(64 << 20), street.open(64 << 20)
        yield from street.meet(one, two)
        sizes = [0, 1, 300_000, 5, 5_000_000, 7, 70_000] * 2
        for number, size in enumerate(sizes):
            one.relay.publish(f"{number}", False, bytes([number]) * size)
            if number % 3 == 0:
                yield
        yield from wait(lambda: len(two.got) == len(sizes))
        assert [(name, payload) for name, _, payload in two.got] == [
            (f"{number}", bytes([number]) * size) for number, size in enumerate(sizes)
        ]

    street.play(scenario())


def test_a_worker_that_hangs_costs_nobody_else_anything(street: Street) -> None:
    """It is a socket here that says hello and never reads."""

    def scenario() -> Scenario:
        one, two = street.open(2 << 20), street.open()
        yield from street.meet(one, two)
        hung = socket.socket(socket.AF_UNIX)
        hung.connect(f"{street.directory}/{one.relay.name}")
        hung.send(MAGIC + b"t" + b"f" * 12)
        yield from wait(lambda: one.relay.workers == 2)
        for number in range(100):
            one.relay.publish("x", False, b"x" * 100_000)
            yield from wait(lambda count=number + 1: len(two.got) == count)
        assert 50 < one.relay.dropped < 100
        assert one.relay.sent == 200 - one.relay.dropped
        assert len(one.said) == 1
        assert "does not read" in one.said[0]
        # Once it reads, it gets what waited, whole, and from then on what comes.
        hung.setblocking(False)
        read = bytearray()

        def messages() -> int:
            try:
                while data := hung.recv(1 << 20):
                    read.extend(data)
            except BlockingIOError:
                pass
            return len(read)

        whole = HEAD.size + 1 + 100_000
        yield from wait(lambda: messages() == (100 - one.relay.dropped) * whole)
        one.relay.publish("y", True, b"now")
        yield from wait(lambda: read[-3:] == b"now" or not messages())
        hung.close()
        yield from street.meet(one, two)

    street.play(scenario())


def test_a_round_that_publishes_too_much(street: Street) -> None:
    def scenario() -> Scenario:
        one, two = street.open(10_000), street.open(10_000)
        yield from street.meet(one, two)
        for _ in range(30):
            one.relay.publish("x", False, b"x" * 1000)
        yield from wait(lambda: two.got)
        yield from rounds()
        assert 5 <= len(two.got) <= 10
        assert one.relay.dropped == 30 - len(two.got)
        one.relay.publish("x", False, b"x" * 10_000)  # one alone always goes
        yield from wait(lambda: len(two.got[-1][2]) == 10_000)

    street.play(scenario())


def test_what_a_killed_worker_left_is_taken_away(street: Street, tmp_path: pathlib.Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "t00112233aabb"))
    left.listen()
    left.close()
    (tmp_path / "7").touch()  # of somebody else
    (tmp_path / "other").touch()

    def scenario() -> Scenario:
        one, two = street.open(), street.open()
        yield from street.meet(one, two)
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
            ["7", "other", one.relay.name, two.relay.name]
        )

    street.play(scenario())
    (tmp_path / "7").unlink()
    (tmp_path / "other").unlink()


def test_a_worker_that_is_too_busy_to_be_called(
    street: Street, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its queue of connections is full for a while; it is tried again, and then no more."""
    monkeypatch.setattr(module, "AGAIN", 0.01)
    busy = socket.socket(socket.AF_UNIX)
    busy.bind(str(tmp_path / "t00112233aabb"))
    busy.listen(0)
    first = socket.socket(socket.AF_UNIX)
    first.connect(str(tmp_path / "t00112233aabb"))

    def scenario() -> Scenario:
        one = street.open()
        yield from rounds()
        busy.accept()[0].close()
        busy.setblocking(False)
        hello = b""

        def called() -> bool:
            nonlocal hello
            try:
                sock, _ = busy.accept()
            except BlockingIOError:
                return False
            hello = sock.recv(100)
            sock.close()
            return True

        yield from wait(called)
        assert hello == MAGIC + one.relay.name.encode()
        yield from rounds()
        assert one.got == []

    street.play(scenario())
    first.close()
    busy.close()
    (tmp_path / "t00112233aabb").unlink()


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n", MAGIC[:4], b"", MAGIC + b"t0011"])
def test_a_caller_that_is_no_worker(street: Street, said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD", 0.05)

    def scenario() -> Scenario:
        one = street.open()
        caller = socket.socket(socket.AF_UNIX)
        caller.connect(f"{street.directory}/{one.relay.name}")
        caller.setblocking(False)
        caller.send(said)

        def ended() -> bool:
            try:
                return caller.recv(1) == b""
            except BlockingIOError:
                return False
            except ConnectionResetError:  # it was closed with something unread
                return True

        yield from wait(ended)
        assert one.relay.workers == 0
        caller.close()

    street.play(scenario())


@pytest.mark.parametrize(
    "data",
    [
        HEAD.pack(1 << 31, 0, 1) + b"x",
        HEAD.pack(1, 2, 1) + b"xx",
        HEAD.pack(1, 1, 0) + b"x",
        HEAD.pack(1, 1, 1) + b"\xffx",
        b"",
        HEAD.pack(10, 1, 1) + b"xhalf",
    ],
)
def test_a_source_that_is_none(street: Street, tmp_path: pathlib.Path, data: bytes) -> None:
    """Nonsense, or half a message and the end: the link ends, all else goes on."""
    other = socket.socket(socket.AF_UNIX)
    other.bind(str(tmp_path / "t00112233aabb"))
    other.listen()

    def scenario() -> Scenario:
        one = street.open()
        sock, _ = other.accept()
        assert sock.recv(100) == MAGIC + one.relay.name.encode()
        whole = HEAD.pack(2, 1, 1) + b"xok"
        sock.send(whole + data)
        yield from wait(lambda: one.got == [("x", True, b"ok")])
        if data[:8] in (b"", HEAD.pack(10, 1, 1) + b"xh"):
            sock.close()
        yield from wait(lambda: one.relay.workers == 0)
        sock.close()
        other.close()
        two = street.open()
        yield from street.meet(one, two)

    street.play(scenario())
    (tmp_path / "t00112233aabb").unlink(missing_ok=True)


def test_a_directory_that_is_not_there(tmp_path: pathlib.Path) -> None:
    loop = Loop()
    with pytest.raises(OSError, match="No such file"):
        Relay(str(tmp_path / "none"), loop, lambda *message: None, 1, ThrottledLog(print))
    loop.close()
