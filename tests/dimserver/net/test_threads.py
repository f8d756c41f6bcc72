"""The thread pool: who runs what, who gets the answer, and how it ends."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from dimserver.net.loop import Loop
from dimserver.net.threads import ThreadPool


class Connection:
    """Takes answers down instead of sending them."""

    def __init__(self) -> None:
        self.answers: list[tuple[object, object, BaseException | None, int]] = []

    def complete(self, request: object, result: object, error: BaseException | None) -> None:
        self.answers.append((request, result, error, threading.get_ident()))


class Request:
    """Something that can be watched."""


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


def run_until(loop: Loop, connection: Connection, count: int) -> None:
    def settle() -> None:
        if len(connection.answers) >= count:
            loop._stopping = True

    def fail() -> None:
        pytest.fail("no answer")

    loop._stopping = False
    loop.call_later(10, fail)
    loop.run(lambda: None, settle)
    loop._later[:] = [entry for entry in loop._later if entry[2] is not fail]


def test_a_job_runs_on_a_thread_and_is_answered_on_the_loops(loop: Loop) -> None:
    pool: Any = ThreadPool(2, loop)
    connection = Connection()
    pool.submit(connection, "request", lambda request: (request, threading.get_ident()))
    assert pool.in_flight == 1
    run_until(loop, connection, 1)
    ((request, result, error, answered_on),) = connection.answers
    assert (request, error, answered_on) == ("request", None, threading.get_ident())
    assert result[0] == "request"
    assert result[1] != threading.get_ident()
    assert pool.in_flight == 0
    assert pool.close(5) == 0


@pytest.mark.parametrize("raised", [ValueError, SystemExit, KeyboardInterrupt])
def test_what_a_handler_raises_is_its_answer(loop: Loop, raised: type[BaseException]) -> None:
    pool: Any = ThreadPool(1, loop)
    connection = Connection()

    def handler(request: object) -> None:
        raise raised

    pool.submit(connection, 1, handler)
    pool.submit(connection, 2, str)  # and the thread lives on
    run_until(loop, connection, 2)
    assert isinstance(connection.answers[0][2], raised)
    assert connection.answers[1][:3] == (2, "2", None)
    assert pool.close(5) == 0


def test_threads_are_started_when_needed_and_no_more_than_allowed(loop: Loop) -> None:
    pool: Any = ThreadPool(3, loop)
    connection = Connection()
    before = threading.active_count()
    assert pool.close(0) == 0
    for number in range(5):  # one after the other: one thread is enough
        pool.submit(connection, number, str)
        run_until(loop, connection, number + 1)
    assert threading.active_count() == before + 1
    gate = threading.Event()
    for number in range(10):
        pool.submit(connection, number, lambda request: gate.wait(10))
    loop.call_later(0.1, loop.stop)  # it sees that nothing moves
    loop._stopping = False
    loop.run(lambda: None)
    assert threading.active_count() == before + 3
    gate.set()
    run_until(loop, connection, 15)
    assert pool.close(5) == 0
    assert threading.active_count() == before


def test_nothing_is_held_once_it_is_answered(loop: Loop) -> None:
    pool: Any = ThreadPool(1, loop)
    connection = Connection()
    request = Request()
    watched = weakref.ref(request)
    pool.submit(connection, request, lambda request: None)
    run_until(loop, connection, 1)
    connection.answers.clear()
    del request
    end = time.monotonic() + 5
    while watched() is not None and time.monotonic() < end:
        time.sleep(0.01)
    assert watched() is None
    pool.close(5)


def test_a_handler_that_does_not_end_holds_nobody_up(loop: Loop) -> None:
    pool: Any = ThreadPool(2, loop)
    connection = Connection()
    gate = threading.Event()
    pool.submit(connection, 1, lambda request: gate.wait(10))
    pool.submit(connection, 2, str)
    run_until(loop, connection, 1)
    begun = time.monotonic()
    assert pool.close(0.05) == 1
    assert time.monotonic() - begun < 1
    gate.set()
    assert pool.close(5) == 0


def test_no_thread_to_be_had(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    pool: Any = ThreadPool(3, loop)
    connection = Connection()

    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError, match="can't start"):
            pool.submit(connection, 1, str)
    assert pool.in_flight == 0
    gate = threading.Event()
    pool.submit(connection, 2, lambda request: gate.wait(10))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        pool.submit(connection, 3, str)  # waits for the one there is
        gate.set()
        run_until(loop, connection, 2)  # meanwhile the loop tries for a second one again
    assert [answer[0] for answer in connection.answers] == [2, 3]
    assert pool.close(5) == 0


class Gateway:
    """A handler that goes on after its answer."""

    def __init__(self, perform: Any) -> None:
        self.perform = perform

    def __call__(self, request: object) -> None:  # noqa: ARG002 - a handler's
        raise AssertionError("`perform` is called where there is one")


def test_a_handler_that_goes_on_after_its_answer(loop: Loop) -> None:
    pool: Any = ThreadPool(1, loop)
    connection = Connection()
    gate = threading.Event()

    def perform(request: object, hand: Any) -> None:
        hand(f"answer to {request}")
        gate.wait(10)

    pool.submit(connection, "one", Gateway(perform))
    run_until(loop, connection, 1)
    assert connection.answers[0][:3] == ("one", "answer to one", None)
    assert pool.in_flight == 1  # the thread is not through
    gate.set()
    pool.submit(connection, "two", Gateway(lambda request, hand: "returned"))
    run_until(loop, connection, 2)
    assert connection.answers[1][:3] == ("two", "returned", None)
    assert pool.in_flight == 0
    assert pool.close(5) == 0


def test_one_that_raises_before_and_after(loop: Loop) -> None:
    pool: Any = ThreadPool(1, loop)
    connection = Connection()

    def after(request: object, hand: Any) -> None:
        hand("answer")
        raise ValueError

    def before(request: object, hand: Any) -> None:
        raise KeyError

    pool.submit(connection, 1, Gateway(before))
    pool.submit(connection, 2, Gateway(after))
    pool.submit(connection, 3, str)
    run_until(loop, connection, 3)
    assert isinstance(connection.answers[0][2], KeyError)
    assert connection.answers[1][:3] == (2, "answer", None)
    assert connection.answers[-1][:3] == (3, "3", None)
    assert pool.close(5) == 0


def test_an_answer_is_told_though_the_next_job_takes_long(loop: Loop) -> None:
    pool: Any = ThreadPool(1, loop)
    connection = Connection()
    gate = threading.Event()
    pool.submit(connection, 1, str)
    pool.submit(connection, 2, lambda request: gate.wait(10))
    begun = time.monotonic()
    run_until(loop, connection, 1)
    assert time.monotonic() - begun < 1
    gate.set()
    run_until(loop, connection, 2)
    assert pool.close(5) == 0


def test_jobs_that_wait_do_not_wait_for_each_other(loop: Loop) -> None:
    pool: Any = ThreadPool(8, loop)
    connection = Connection()
    for number in range(8):
        pool.submit(connection, number, lambda request: time.sleep(0.2))
    begun = time.monotonic()
    run_until(loop, connection, 8)
    assert time.monotonic() - begun < 0.8  # and not 1.6
    assert pool.close(5) == 0


def test_it_is_full_when_a_job_waits_for_a_thread_and_not_for_the_others(loop: Loop) -> None:
    told: list[bool] = []
    pool: Any = ThreadPool(1, loop, full=told.append)
    connection = Connection()
    for number in range(20):
        pool.submit(connection, number, lambda request: time.sleep(0.005))  # each waits, none for long
    run_until(loop, connection, 20)
    assert True not in told
    for number in range(3):
        pool.submit(connection, number, lambda request: time.sleep(0.15))
    run_until(loop, connection, 23)
    assert told[0] is True
    begun = time.monotonic()
    while told[-1]:
        assert time.monotonic() - begun < 5
        loop.call_later(0.05, loop.stop)
        loop._stopping = False
        loop.run(lambda: None)
    assert pool._watched is None
    assert pool.close(5) == 0


def test_quick_jobs_keep_one_thread_busy(loop: Loop) -> None:
    pool: Any = ThreadPool(8, loop)
    connection = Connection()
    threads = set()
    for turn in range(1, 21):
        for number in range(20):
            pool.submit(connection, number, lambda request: threads.add(threading.get_ident()))
        run_until(loop, connection, turn * 20)
    assert len(connection.answers) == 400
    assert len(threads) < 5  # one, but for a machine that is busy
    assert pool.close(5) == 0


def test_an_answer_that_fails_does_not_hold_up_the_others(loop: Loop) -> None:
    class Broken(Connection):
        def complete(self, *answer: object) -> None:  # noqa: ARG002 - as of a connection
            raise RuntimeError("on purpose")

    troubles: list[Exception] = []
    made = Loop(troubles.append)
    pool: Any = ThreadPool(1, made)
    connection = Connection()
    pool.submit(Broken(), 1, str)
    pool.submit(connection, 2, str)
    run_until(made, connection, 1)
    assert [str(trouble) for trouble in troubles] == ["on purpose"]
    assert pool.in_flight == 0
    assert pool.close(5) == 0
    made.close()


def test_a_thread_that_falls_asleep_as_a_job_comes(loop: Loop) -> None:
    """No job is left behind, whenever it comes."""
    pool: Any = ThreadPool(2, loop)
    connection = Connection()
    for number in range(2000):
        pool.submit(connection, number, str)
        if number % 7 == 0:
            run_until(loop, connection, number + 1)
    run_until(loop, connection, 2000)
    assert [answer[0] for answer in connection.answers[:1]] == [0]
    assert sorted(answer[0] for answer in connection.answers) == list(range(2000))  # type: ignore[type-var]
    assert pool.close(5) == 0


def test_jobs_that_wait_at_the_end_are_for_nobody(loop: Loop) -> None:
    pool: Any = ThreadPool(1, loop)
    connection = Connection()
    began, go_on = threading.Event(), threading.Event()
    ran: list[object] = []

    def handler(request: object) -> None:
        began.set()
        go_on.wait(10)
        ran.append(request)

    pool.submit(connection, "first", handler)
    assert began.wait(10)
    for number in range(3):
        pool.submit(connection, number, handler)
    assert pool.close(0) == 1  # the handler that runs is left to itself
    go_on.set()
    assert pool.close(5) == 0
    assert ran == ["first"]
