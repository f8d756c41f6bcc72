"""The loop: what wakes it, in which order it works, and that it neither spins nor leaks."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from tests.support.processes import descriptors

from dimserver.net import async_loop as async_module
from dimserver.net import loop as module
from dimserver.net.async_loop import AsyncLoop
from dimserver.net.loop import Loop


@pytest.fixture(params=["own", "asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Iterator[Loop]:
    """Each of the loops a worker may have: what is asked of one is asked of all."""
    if request.param == "uvloop":
        pytest.importorskip("uvloop")

    def fail(*told: object) -> None:
        raise AssertionError(told)

    made = Loop() if request.param == "own" else AsyncLoop(request.param, fail, fail)
    yield made
    made.close()


def nothing() -> None:
    pass


def test_events_of_descriptors(loop: Loop) -> None:
    reader, writer = os.pipe()
    seen: list[object] = []

    def ready(mask: int) -> None:
        seen.append((mask, os.read(reader, 10)))
        loop.stop()

    loop.selector.register(reader, 1, ready)
    os.write(writer, b"x")
    loop.run(lambda: seen.append("tick"))
    assert seen == ["tick", (1, b"x")]
    os.close(reader)
    os.close(writer)


def test_a_muted_descriptor_tells_of_a_hang_up_alone(loop: Loop) -> None:
    mute = loop.selector.mute
    if mute is None:
        pytest.skip("not epoll")
    ours, theirs = socket.socketpair()
    seen: list[int] = []

    def hung_up(mask: int) -> None:
        seen.append(mask)
        loop.selector.unregister(ours.fileno())
        loop.stop()

    loop.selector.register(ours.fileno(), selectors.EVENT_READ | selectors.EVENT_WRITE, hung_up)
    mute(ours.fileno())
    theirs.send(b"x")
    theirs.shutdown(socket.SHUT_WR)
    loop.call_later(0.05, theirs.close)
    began = time.monotonic()
    loop.run(nothing)
    assert time.monotonic() - began >= 0.05
    assert seen == [selectors.EVENT_READ | selectors.EVENT_WRITE]
    ours.close()


def test_a_descriptor_may_speak_again(loop: Loop) -> None:
    mute = loop.selector.mute
    if mute is None:
        pytest.skip("not epoll")
    ours, theirs = socket.socketpair()
    seen: list[int] = []

    def readable(mask: int) -> None:
        seen.append(mask)
        loop.selector.unregister(ours.fileno())
        loop.stop()

    loop.selector.register(ours.fileno(), selectors.EVENT_READ, readable)
    mute(ours.fileno())
    theirs.send(b"x")
    loop.call_later(0.05, lambda: loop.selector.modify(ours.fileno(), selectors.EVENT_READ, readable))
    loop.run(nothing)
    assert seen == [selectors.EVENT_READ]
    ours.close()
    theirs.close()


def test_calls_of_other_threads_come_in_order_on_the_loops(loop: Loop) -> None:
    seen: list[tuple[int, int]] = []
    here = threading.get_ident()

    def work() -> None:
        for number in range(1000):
            loop.call_from_thread(lambda number=number: seen.append((number, threading.get_ident())))  # type: ignore[misc]
        loop.call_from_thread(loop.stop)

    thread = threading.Thread(target=work)
    thread.start()
    loop.run(nothing)
    thread.join()
    assert seen == [(number, here) for number in range(1000)]


def test_no_wake_up_is_lost(loop: Loop) -> None:
    """Many threads that each wait for their call: one lost wake-up is half a second, and fails."""
    loop_thread = threading.Thread(target=loop.run, args=(nothing, None, lambda: True))
    loop_thread.start()
    late: list[float] = []

    def work() -> None:
        for _ in range(300):
            made = threading.Event()
            loop.call_from_thread(made.set)
            if not made.wait(10):
                late.append(1)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    loop.stop()
    loop_thread.join(10)
    assert not late
    assert not loop_thread.is_alive()


def test_a_call_may_make_another_and_that_one_comes_later(loop: Loop) -> None:
    seen: list[str] = []

    def first() -> None:
        loop.call_from_thread(lambda: (seen.append("second"), loop.stop()))
        seen.append("first")

    loop.call_from_thread(first)
    loop.run(lambda: seen.append("tick"))
    assert seen == ["tick", "first", "tick", "second"]


def test_call_later_keeps_its_time_and_order(loop: Loop) -> None:
    seen: list[tuple[str, float]] = []
    begun = time.monotonic()

    def note(name: str) -> Callable[[], None]:
        return lambda: seen.append((name, time.monotonic() - begun))

    loop.call_later(0.1, note("c"))
    loop.call_later(0.02, note("a"))
    loop.call_later(0.02, note("b"))
    loop.call_later(0.12, loop.stop)
    loop.run(nothing)
    assert [name for name, _ in seen] == ["a", "b", "c"]
    for (_, at), least in zip(seen, (0.02, 0.02, 0.1), strict=True):
        assert least <= at < least + 0.3


def test_call_later_0_waits_for_one_more_round_of_events(loop: Loop) -> None:
    reader, writer = os.pipe()
    seen: list[str] = []

    def ready(mask: int) -> None:
        os.read(reader, 10)
        seen.append("event")

    def begin() -> None:
        loop.call_later(0, lambda: (seen.append("later"), loop.stop()))
        os.write(writer, b"x")  # there, but not in the round that runs

    loop.selector.register(reader, 1, ready)
    loop.call_from_thread(begin)
    loop.run(nothing)
    assert seen == ["event", "later"]
    os.close(reader)
    os.close(writer)


def test_settle_comes_after_the_events(loop: Loop) -> None:
    seen: list[str] = []
    loop.call_from_thread(lambda: (seen.append("event"), loop.stop()))
    loop.run(lambda: seen.append("tick"), lambda: seen.append("settle"))
    assert seen == ["tick", "event", "settle"]


def test_a_quiet_loop_sleeps_and_another_wakes_twice_a_second(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    for each in (module, async_module):
        assert each.ROUND == 0.5
        monkeypatch.setattr(each, "ROUND", 0.1)  # five times as fast
    for quiet, least, most in ((True, 1, 2), (False, 2, 4)):
        rounds: list[None] = []
        timer = threading.Timer(0.28, loop.call_from_thread, [loop.stop])
        timer.start()
        # A round that ends without an event is what makes the loop ask whether it is quiet.
        loop.run(lambda: rounds.append(None), None, lambda: quiet)  # noqa: B023 - called while it is what it is
        timer.join()
        assert least <= len(rounds) - 1 <= most
        loop._stopping = False


def test_a_signal_wakes_the_loop(loop: Loop) -> None:
    before = signal.signal(signal.SIGUSR1, lambda number, frame: loop.call_from_thread(loop.stop))
    descriptor = signal.set_wakeup_fd(loop.wake_descriptor, warn_on_full_buffer=False)
    try:
        threading.Timer(0.6, lambda: os.kill(os.getpid(), signal.SIGUSR1)).start()
        begun = time.monotonic()
        loop.run(nothing, None, lambda: True)
        assert time.monotonic() - begun < 5
    finally:
        signal.set_wakeup_fd(descriptor)
        signal.signal(signal.SIGUSR1, before)


def test_a_full_pipe_wakes_too(loop: Loop) -> None:
    try:
        while True:
            os.write(loop.wake_descriptor, bytes(4096))
    except BlockingIOError:
        pass
    loop.call_from_thread(loop.stop)
    loop.run(nothing)
    assert os.read(loop._wake_reader, 4096) == b"\0"  # of `stop` itself; all else was read


def test_stop_before_run(loop: Loop) -> None:
    loop.stop()
    loop.run(lambda: pytest.fail("no round was wanted"))


def test_a_fault_of_one_callback_is_reported_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TROUBLE", 0.01)
    told: list[Exception] = []
    loop = Loop(told.append)
    reader, writer = os.pipe()
    seen: list[str] = []

    def broken(mask: int) -> None:
        os.read(reader, 1)
        raise ZeroDivisionError

    def fail() -> None:
        raise KeyError

    loop.selector.register(reader, 1, broken)
    os.write(writer, b"x")
    loop.call_from_thread(fail)
    loop.call_from_thread(lambda: seen.append("behind the failed call"))
    loop.call_later(0, fail)
    loop.call_later(0.01, lambda: seen.append("behind the failed one"))
    loop.call_later(0.1, loop.stop)
    loop.run(nothing)
    assert sorted(seen) == ["behind the failed call", "behind the failed one"]
    assert sorted(type(error).__name__ for error in told) == ["KeyError", "KeyError", "ZeroDivisionError"]
    loop.close()
    os.close(reader)
    os.close(writer)


def test_a_fault_that_stays_does_not_spin() -> None:
    told: list[Exception] = []
    loop = Loop(told.append)

    def tick() -> None:
        if len(told) < 4:
            raise ValueError
        loop.stop()

    begun = time.monotonic()
    loop.call_from_thread(nothing)
    loop.run(tick)
    assert time.monotonic() - begun >= 3 * module.TROUBLE
    loop.close()


def test_an_interrupt_ends_the_loop(loop: Loop) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    loop.call_from_thread(interrupt)
    with pytest.raises(KeyboardInterrupt):
        loop.run(nothing)


def test_close_gives_everything_back_and_later_calls_do_nothing() -> None:
    before = descriptors()
    loop = Loop()
    loop.close()
    loop.close()
    assert descriptors() == before
    reader, writer = os.pipe()  # the numbers that were the loop's
    loop.call_from_thread(nothing)
    loop.stop()
    os.set_blocking(reader, False)
    with pytest.raises(BlockingIOError):
        os.read(reader, 1)
    os.close(reader)
    os.close(writer)


def test_calls_behind_the_events_of_a_round(loop: Loop) -> None:
    """One that is asked for out of such a call is made in the next round, after the events of that."""
    reader, writer = os.pipe()
    seen: list[str] = []

    def ready(mask: int) -> None:
        seen.append("event")
        os.read(reader, 1)
        if len(seen) == 1:
            loop.call_soon(again)
        else:
            loop.stop()

    def again() -> None:
        seen.append("soon")
        os.write(writer, b"x")
        loop.call_soon(lambda: seen.append("later"))

    loop.selector.register(reader, 1, ready)
    os.write(writer, b"x")
    began = time.monotonic()
    loop.run(nothing, quiet=lambda: True)
    assert seen[:2] == ["event", "soon"]
    assert seen.count("event") == 2
    assert time.monotonic() - began < 0.4  # it does not sleep meanwhile
    os.close(reader)
    os.close(writer)


def test_a_call_that_fails_does_not_stop_the_others() -> None:
    told: list[Exception] = []
    loop = Loop(told.append)

    def fail() -> None:
        raise ValueError("soon")

    loop.call_soon(fail)
    loop.call_soon(loop.stop)
    loop.run(nothing, quiet=lambda: True)
    loop.close()
    assert [str(error) for error in told] == ["soon"]
