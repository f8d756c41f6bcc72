"""Questions among workers: answered, late, cut off, too long, and none of them waited for."""

from __future__ import annotations

import marshal
import pathlib
import socket
import stat
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.waiting import PATIENCE

from dimserver.net import worker_rpc as module
from dimserver.net.loop import Loop
from dimserver.net.worker_rpc import SUPERVISOR, Peers


class Rig:
    """Workers that share one loop, turned by the test."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.loop = Loop()
        self.troubles: list[Exception] = []
        self.workers: list[Peers] = []

    def worker(self, number: int, answer: Callable[..., Any] = lambda *question: list(question)) -> Peers:
        self.workers.append(Peers(self.directory, number, self.loop, answer, self.troubles.append))
        return self.workers[-1]

    def turn_until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE

        def look() -> None:
            assert time.monotonic() < end
            if condition():
                self.loop._stopping = True
            self.loop.call_later(0.001, lambda: None)  # look again soon

        self.loop._stopping = False
        self.loop.run(lambda: None, look)

    def ask(self, who: Peers, numbers: list[int], *question: Any, **options: Any) -> tuple[Any, Any]:
        found: list[Any] = []
        who.ask(numbers, question, lambda *given: found.append(given), **options)
        assert found == []  # never before `ask` has returned
        self.turn_until(lambda: bool(found))
        assert len(found) == 1
        answers, missing = found[0]
        return answers, missing


@pytest.fixture
def rig(tmp_path: pathlib.Path) -> Iterator[Rig]:
    rig = Rig(str(tmp_path))
    yield rig
    for worker in rig.workers:
        worker.close()
    rig.loop.close()


def test_answers(rig: Rig) -> None:
    one = rig.worker(1)
    rig.worker(2)
    rig.worker(3, lambda *question: {"n": 3, "q": question[0]})
    assert rig.ask(one, [2, 3], "list", [1, 2], None) == ({2: ["list", [1, 2], None], 3: {"n": 3, "q": "list"}}, {})
    assert rig.ask(one, [], "list") == ({}, {})


def test_large_answers(rig: Rig) -> None:
    rows = [{"id": str(number), "text": "x" * 200} for number in range(20_000)]
    one = rig.worker(1)
    rig.worker(2, lambda *question: rows)
    answers, missing = rig.ask(one, [2], "list", seconds=PATIENCE)
    assert missing == {}
    assert answers[2] == rows


def test_an_answer_in_slices_is_made_one_a_round(rig: Rig) -> None:
    rounds = 0
    made: list[int] = []

    def slices(count: int) -> Iterator[list[int]]:
        for number in range(count):
            made.append(rounds)
            yield [number] * 100

    def count_rounds() -> None:
        nonlocal rounds
        rounds += 1
        rig.loop.call_soon(count_rounds)

    one = rig.worker(1)
    rig.worker(2, slices)
    rig.loop.call_soon(count_rounds)
    assert rig.ask(one, [2], 5, seconds=PATIENCE) == ({2: [[number] * 100 for number in range(5)]}, {})
    assert len(set(made)) == 5
    assert rig.ask(one, [2], 0, seconds=PATIENCE) == ({2: []}, {})


def test_slices_are_not_made_faster_than_they_are_taken(rig: Rig) -> None:
    made = 0

    def slices(*question: object) -> Iterator[str]:
        nonlocal made
        while True:
            made += 1
            yield "x" * 50_000

    worker = rig.worker(1, slices)
    with strange(rig, marshal.dumps(("list",))):
        before = -1
        for _ in range(100):
            before = made
            end = time.monotonic() + 0.02
            rig.turn_until(lambda: time.monotonic() > end)  # noqa: B023 - it is over before the next
            if made == before:
                break
        assert 0 < made == before < 100
        assert worker._asked


def test_a_fault_between_slices(rig: Rig) -> None:
    def slices() -> Iterator[int]:
        yield 1
        yield 1 // len(rig.troubles)

    one = rig.worker(1)
    rig.worker(2, slices)
    assert rig.ask(one, [2], seconds=PATIENCE) == ({}, {2: "it is gone"})
    assert [type(error) for error in rig.troubles] == [ZeroDivisionError]


def test_a_worker_that_is_alone(rig: Rig) -> None:
    alone = Peers(None, 0, rig.loop, lambda *question: None, rig.troubles.append)
    rig.workers.append(alone)
    assert rig.ask(alone, [], "list") == ({}, {})
    assert list(rig.ask(alone, [7], "list")[1]) == [7]
    assert list(pathlib.Path(rig.directory).iterdir()) == []


def test_one_that_is_gone(rig: Rig) -> None:
    one = rig.worker(1)
    rig.worker(2).close()
    left = socket.socket(socket.AF_UNIX)
    left.bind(f"{rig.directory}/3")
    left.close()  # its file is there, and nobody listens
    rig.worker(4)
    answers, missing = rig.ask(one, [2, 3, 4, 5], "x")
    assert (answers, missing) == ({4: ["x"]}, dict.fromkeys((2, 3, 5), "it is gone"))


def test_one_that_stands_still(rig: Rig) -> None:
    one = rig.worker(1)
    rig.worker(3)
    with socket.socket(socket.AF_UNIX) as still:
        still.bind(f"{rig.directory}/2")
        still.listen(1)
        began = time.monotonic()
        answers, missing = rig.ask(one, [2, 3], "x", seconds=0.05)
        assert time.monotonic() - began >= 0.05
        assert (answers, missing) == ({3: ["x"]}, {2: "no answer within 0.05 s"})
        for _ in range(3):  # its queue is full soon
            answers, missing = rig.ask(one, [2, 3], "x", seconds=0.02)
            assert answers == {3: ["x"]}
        assert missing == {2: "it is busy"}


def framed(kind: int, data: bytes) -> bytes:
    return module.FRAME.pack(kind, len(data)) + data


WHOLE = framed(module.WHOLE, marshal.dumps(["x" * 100]))
SLICED = framed(module.SLICE, marshal.dumps(["x" * 100]))


@pytest.mark.parametrize(
    "data", [b"", WHOLE[:-1], SLICED, SLICED + SLICED[:3], SLICED * 2 + framed(module.LAST, b"")[:-1],
             framed(module.WHOLE, b"\xff\xff"), framed(9, b""), b"{"]
)  # fmt: skip
def test_one_that_dies_while_it_answers(rig: Rig, data: bytes) -> None:
    one = rig.worker(1)
    with socket.socket(socket.AF_UNIX) as dying:
        dying.bind(f"{rig.directory}/2")
        dying.listen(1)
        dying.setblocking(False)

        def answer(mask: int) -> None:
            with dying.accept()[0] as sock:
                sock.send(data)

        rig.loop.selector.register(dying, 1, answer)
        assert rig.ask(one, [2], "x", seconds=PATIENCE) == ({}, {2: "it is gone"})
        rig.loop.selector.unregister(dying)


def test_an_answer_that_is_too_long(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ANSWER", 1000)
    one = rig.worker(1)
    rig.worker(2, lambda *question: "x" * 2000)
    assert rig.ask(one, [2], "x", seconds=PATIENCE) == ({}, {2: "its answer is too long"})


def test_a_fault_of_the_one_who_is_asked(rig: Rig) -> None:
    one = rig.worker(1)
    rig.worker(2, lambda *question: 1 / 0)
    rig.worker(3, lambda *question: object())  # no plain value
    assert rig.ask(one, [2, 3], "x") == ({}, {2: "it is gone", 3: "it is gone"})
    assert {type(error) for error in rig.troubles} == {ZeroDivisionError, ValueError}


def strange(rig: Rig, data: bytes) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(f"{rig.directory}/1")
    sock.send(data)
    sock.setblocking(False)
    return sock


def ended(sock: socket.socket) -> bool:
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("data", [b"\xff\xff", b"(" + b"\xff" * 4, b"s" + b"\xff\xff\x00\x00" + b"x" * 5000])
def test_what_is_no_question(rig: Rig, data: bytes) -> None:
    rig.worker(1)
    with strange(rig, data) as sock:
        rig.turn_until(lambda: ended(sock))


def test_a_question_that_is_not_finished_is_given_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD", 0.05)
    worker = rig.worker(1)
    with strange(rig, marshal.dumps(("list",))[:-1]) as sock:
        rig.turn_until(lambda: ended(sock))
    assert not worker._asked


def test_an_answer_nobody_takes_is_given_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD", 0.05)
    worker = rig.worker(1, lambda *question: "x" * (4 << 20))
    with strange(rig, marshal.dumps(("list",))):
        rig.turn_until(lambda: bool(worker._asked))
        rig.turn_until(lambda: not worker._asked)


def test_questions_at_a_time_are_limited(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ASKING", 2)
    worker = rig.worker(1)
    half = marshal.dumps(("list",))[:-1]
    socks = [strange(rig, half) for _ in range(2)]
    rig.turn_until(lambda: len(worker._asked) == 2)
    with strange(rig, half) as third:
        rig.turn_until(lambda: ended(third))
    assert len(worker._asked) == 2
    for sock in socks:
        sock.close()
    rig.turn_until(lambda: not worker._asked)


def test_a_number_is_taken_over(rig: Rig) -> None:
    path = pathlib.Path(rig.directory, "1")
    with socket.socket(socket.AF_UNIX) as before:
        before.bind(str(path))
    worker = rig.worker(1)
    assert stat.S_ISSOCK(path.stat().st_mode)
    worker.close()
    assert not path.exists()
    worker.close()  # again


def test_a_directory_that_is_not_there(rig: Rig) -> None:
    with pytest.raises(FileNotFoundError):  # and no socket is left open: that would be a warning, which fails
        Peers(rig.directory + "/no", 1, rig.loop, print, print)


def test_the_supervisor_is_asked_as_any_other(rig: Rig, tmp_path: pathlib.Path) -> None:
    one, supervisor = rig.worker(1), rig.worker(SUPERVISOR, lambda *question: ["all", *question])
    assert (tmp_path / "supervisor").exists()
    assert rig.ask(one, [SUPERVISOR], "rows") == ({SUPERVISOR: ["all", "rows"]}, {})
    assert rig.ask(supervisor, [1], "rows") == ({1: ["rows"]}, {})
    assert supervisor.is_found
    (tmp_path / "supervisor").unlink()
    assert not supervisor.is_found
    supervisor.move(str(tmp_path))
    assert supervisor.is_found


def test_a_forked_process_holds_nothing_of_it(rig: Rig, tmp_path: pathlib.Path) -> None:
    """Neither where it listens, nor a question on its way, nor one that it is asked."""
    one = rig.worker(1)
    with socket.socket(socket.AF_UNIX) as silent, socket.socket(socket.AF_UNIX) as asking:
        silent.bind(str(tmp_path / "2"))
        silent.listen()
        one.ask([2], ("x",), lambda *given: None)
        asking.connect(str(tmp_path / "1"))
        rig.turn_until(lambda: bool(one._asked))
        end, _ = silent.accept()
        with end:
            end.setblocking(False)
            assert end.recv(100)
            one.forget()
            assert end.recv(1) == b""  # here nobody else has these descriptors
            assert asking.recv(1) == b""
    rig.workers.clear()
