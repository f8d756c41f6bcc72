"""The event loop: a selector whose keys hold the call to make.

    for descriptor, event in selector.poll(timeout, most):
        keys[descriptor](event)

Nothing else happens for an event: what it means is the compiled core's affair.
Time limits are the index's; the loop only wakes often enough to keep them, and
not at all while there is nothing to keep.
"""

from __future__ import annotations

import os
import select
import selectors
from _thread import RLock
from collections import deque
from heapq import heappop, heappush
from itertools import count
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    from dimcore import Runner

    class HasFileno(Protocol):
        def fileno(self) -> int: ...


__all__ = ["Loop"]

ROUND = 0.5  # seconds: longest sleep while a time limit may pass, so that it is kept to half a second
TROUBLE = 0.05  # seconds after a fault of a callback: one that comes back each round must not take the whole core


BATCH = 256  # events a round: more would only grow the list, the rest is ready still
FOREVER = -1.0  # timeout: no event, no waking


class Selector:
    """What waits for descriptors: epoll where there is one, else what `selectors` has for the platform.

    By descriptor it keeps the call to make and nothing else.  The `SelectorKey` of the standard library's selectors is
    88 bytes for each connection, and the key-and-mask tuple they make of each event a tenth of all CPU time.

    Attributes:
        keys: descriptor -> what to call with the mask of an event.
        poll: called with ``(timeout, most)``, seconds or `FOREVER` and a number of events;
            returns ``(descriptor, event)`` pairs.  `meaning` says what an event other than 1 stands for.
    """

    def __init__(self) -> None:
        self.keys: dict[int, Callable[[int], object]] = {}
        self._epoll: Any = select.epoll() if hasattr(select, "epoll") else None
        self._other: Any = selectors.DefaultSelector() if self._epoll is None else None
        self.poll: Callable[[float, int], list[tuple[int, int]]] = (
            self._select if self._epoll is None else self._epoll.poll
        )

    def register(self, file: int | HasFileno, events: int, call: Callable[[int], object]) -> None:
        """Watch a descriptor for 1 (readable), 2 (writable) or both.

        Raises:
            KeyError: it is watched already.
        """
        descriptor = file if isinstance(file, int) else file.fileno()
        if descriptor in self.keys:
            raise KeyError(f"descriptor {descriptor} is watched already")
        if self._epoll is not None:
            self._epoll.register(descriptor, _EPOLL_MASKS[events])
        else:
            self._other.register(descriptor, events)
        self.keys[descriptor] = call

    def modify(self, file: int | HasFileno, events: int, call: Callable[[int], object]) -> None:
        """Watch it for something else, or have something else called.

        Raises:
            KeyError: it is not watched.
        """
        descriptor = file if isinstance(file, int) else file.fileno()
        self.keys[descriptor]
        if self._epoll is not None:
            self._epoll.modify(descriptor, _EPOLL_MASKS[events])
        else:
            self._other.modify(descriptor, events)
        self.keys[descriptor] = call

    def unregister(self, file: int | HasFileno) -> None:
        """Watch it no longer; before it is closed.

        Raises:
            KeyError: it is not watched.
        """
        descriptor = file if isinstance(file, int) else file.fileno()
        del self.keys[descriptor]
        if self._epoll is not None:
            try:
                self._epoll.unregister(descriptor)
            except OSError:
                pass  # closed meanwhile: then epoll has forgotten it
        else:
            self._other.unregister(descriptor)

    @property
    def mute(self) -> Callable[[int], None] | None:
        """To be called with a registered descriptor: only an error or a hang-up is reported from now on, as any event.

        None where the platform's selector has no such thing.  `modify` ends it.
        """
        return None if self._epoll is None else self._mute

    def _mute(self, descriptor: int) -> None:
        self._epoll.modify(descriptor, 0)

    def fileno(self) -> int:
        """A descriptor that is readable while any of those watched has an event."""
        number: int = (self._other if self._epoll is None else self._epoll).fileno()
        return number

    def close(self) -> None:
        """Give everything back; again is fine."""
        self.keys.clear()
        (self._other if self._epoll is None else self._epoll).close()

    def _select(self, timeout: float, most: int) -> list[tuple[int, int]]:
        return [(key.fd, mask) for key, mask in self._other.select(None if timeout < 0 else timeout)[:most]]

    def meaning(self, event: int) -> int:
        """The mask of an event: 1 readable, 2 writable; an error or a hang-up is both, whoever asks finds out."""
        if self._epoll is None:
            return event
        return (selectors.EVENT_READ if event & ~_EPOLLOUT else 0) | (selectors.EVENT_WRITE if event & ~_EPOLLIN else 0)


_EPOLLIN = 1  # EVENT_READ has the same value, so the event of nearly every round needs no translation
_EPOLLOUT = 4
_EPOLL_MASKS = (0, _EPOLLIN, _EPOLLOUT, _EPOLLIN | _EPOLLOUT)  # by the mask of `selectors`


def _never() -> bool:
    return False


def _raise(error: Exception) -> None:
    raise error


class Loop:
    """Waits for descriptors, other threads and times, and calls what belongs to each.

    Args:
        trouble: told of an exception out of a callback; the loop goes on.  Without it the exception ends `run`.

    Attributes:
        selector: where descriptors are registered, with a callable taking the event mask as data.
        wake_descriptor: write a byte to it to wake the loop; also fit for `signal.set_wakeup_fd`.
        asyncio, runner: the asyncio loop around this one and what runs coroutines on it; None here, see `AsyncLoop`.

    Thread-safety: `call_from_thread` and `stop` from any thread and from a signal
        handler; all else from the loop's thread.
    """

    asyncio: Any = None
    runner: Runner | None = None

    def __init__(self, trouble: Callable[[Exception], object] = _raise) -> None:
        self.selector = Selector()
        self._wake_reader, self.wake_descriptor = os.pipe()
        os.set_blocking(self._wake_reader, False)
        os.set_blocking(self.wake_descriptor, False)
        self.selector.register(self._wake_reader, selectors.EVENT_READ, self._woken)
        self._trouble = trouble
        self._soon: list[Callable[[], object]] = []
        self._calls: deque[Callable[[], object]] = deque()
        self._later: list[tuple[float, int, Callable[[], object]]] = []
        self._order = count()
        self._awake = False
        self._stopping = False
        self._closed = False
        # Held while the wake descriptor is written or closed: a thread that ends late must not write to a number
        # that is somebody else's by then.  Reentrant, since a signal handler may wake the loop at any point.
        self._wake_lock = RLock()

    def run(
        self,
        tick: Callable[[], object],
        settle: Callable[[], object] | None = None,
        quiet: Callable[[], bool] = _never,
    ) -> None:
        """Serve events until `stop`.

        Args:
            tick: called after each wait, before the events.
            settle: called after the events of a round.
            quiet: whether no time limit can pass, so that only an event need wake the loop; asked when a
                whole round brought none.
        """
        while not self._stopping:
            try:
                self._rounds(tick, settle, quiet)
            except Exception as error:
                # Connections catch their own; this is a fault of the shell.  What was not served of this round
                # is reported again by the next wait.
                self._trouble(error)
                self._wait_out(TROUBLE)

    def _rounds(
        self, tick: Callable[[], object], settle: Callable[[], object] | None, quiet: Callable[[], bool]
    ) -> None:
        poll = self.selector.poll
        meaning = self.selector.meaning
        keys = self.selector.keys
        later = self._later
        soon = self._soon
        idle = False
        while not self._stopping:
            timeout = 0.0 if soon else FOREVER if idle and quiet() else ROUND
            if later:
                due = max(0.0, later[0][0] - monotonic())
                timeout = due if timeout == FOREVER else min(timeout, due)
            events = poll(timeout, BATCH)
            now = monotonic() if later else 0.0
            tick()
            for descriptor, event in events:
                try:
                    call = keys[descriptor]
                except KeyError:  # unregistered by a callback of this very round
                    continue
                call(event if event == 1 else meaning(event))
            idle = not events
            if soon:
                self._run_soon()
            if settle is not None:
                settle()
            if later:
                self._run_due(now)

    def stop(self) -> None:
        """Make `run` return after the events at hand."""
        self._stopping = True
        self._wake()

    def call_from_thread(self, call: Callable[[], object]) -> None:
        """Have `call` made on the loop's thread, soon and in order; never once the loop is closed."""
        self._calls.append(call)
        self._wake()

    def call_later(self, delay: float, call: Callable[[], object]) -> None:
        """Have `call` made in `delay` seconds; with 0, after one more round of events."""
        heappush(self._later, (monotonic() + delay, next(self._order), call))

    def call_soon(self, call: Callable[[], object]) -> None:
        """Have `call` made when the events of this round are served; out of such a call, those of the next one."""
        self._soon.append(call)

    def jobs(self) -> int:
        """How many asyncio tasks a stop should wait for; none here."""
        return 0

    def close(self) -> None:
        """Give the loop's own descriptors back; again is fine."""
        with self._wake_lock:
            if self._closed:
                return
            self._closed = True
            self.selector.close()
            os.close(self._wake_reader)
            os.close(self.wake_descriptor)
        self._soon.clear()
        self._calls.clear()
        self._later.clear()

    def disown(self) -> None:
        """In a forked child: watch nothing and call nothing any more; see `dimserver.net.forks`."""
        from dimserver.net.forks import cut_off

        descriptors = [*self.selector.keys, self.wake_descriptor]
        self._stopping = self._closed = True  # nobody is woken either
        self._wake_lock = RLock()  # another thread may have held it
        self.selector.close()  # not by unregistering: the table in the kernel is also that of the parent
        self._soon.clear()
        self._calls.clear()
        self._later.clear()
        cut_off(descriptors)

    def _wake(self) -> None:
        # One byte is enough for any number of calls; a full pipe wakes just as well.
        if self._awake:
            return
        with self._wake_lock:
            if self._closed:
                return
            self._awake = True
            try:
                os.write(self.wake_descriptor, b"\0")
            except BlockingIOError:
                pass

    def _woken(self, mask: int) -> None:  # noqa: ARG002 - every callback takes the mask
        # The flag falls before the calls are taken: one that comes in between wakes the loop again.
        try:
            while len(os.read(self._wake_reader, 4096)) == 4096:
                pass
        except BlockingIOError:
            pass
        self._awake = False
        calls = self._calls
        for _ in range(len(calls)):
            call = calls.popleft()
            try:
                call()
            except Exception as error:  # the calls behind it are not its own
                self._trouble(error)

    def _run_soon(self) -> None:
        soon = self._soon
        number = len(soon)
        for at in range(number):
            try:
                soon[at]()
            except Exception as error:
                self._trouble(error)
        del soon[:number]

    def _run_due(self, now: float) -> None:
        # `now` is when this round began: what is put off by 0 seconds meanwhile waits for the next one.
        while self._later and self._later[0][0] <= now:
            call = heappop(self._later)[2]
            try:
                call()
            except Exception as error:
                self._trouble(error)

    def _wait_out(self, seconds: float) -> None:
        from time import sleep

        sleep(seconds)
