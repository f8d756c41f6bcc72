"""What is published to topics, brought to other servers over Valkey or Redis pub/sub.

Two threads with a connection each: one publishes what the loop gives it, one
takes in what others have published.  The loop never waits for either.  While the
server cannot be reached, both try again with growing pauses, and what is
published meanwhile is dropped and counted: pub/sub keeps nothing for anybody, and
neither does this.

On the wire a message is

    b"\\x00dim1"  server, 8 bytes  b"t" (text) or b"b"  payload

so that a server knows its own messages, which its subscribers have already.  A
message without that beginning is from another program: its bytes are the payload,
and text where they are UTF-8.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from importlib.util import find_spec
from threading import Condition, Event, Lock, Thread
from time import monotonic

from dimserver.config.types import shown_url
from dimserver.errors import ConfigError
from dimserver.net.throttled_log import ThrottledLog

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from dimserver.log import Log
    from dimserver.net.loop import Loop

    Receive = Callable[[str, bool, bytes], object]

__all__ = ["PubSub", "connect", "decode", "encode"]

MAGIC = b"\x00dim1"
SERVER_BYTES = 8
HEAD_SIZE = len(MAGIC) + SERVER_BYTES + 1
PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # seconds before each further try; the last one from then on
CONNECT = 5.0  # seconds for a connection, and for an answer
LISTEN = 5.0  # seconds of silence until the connection is asked whether it lives
HEALTH = 10  # seconds
CHANGES = 10.0  # seconds between two reasons told of one absence: the first ones change from try to try
AT_ONCE = 1000  # messages that are published with one round trip
ENDING = 2.0  # seconds the threads have to end
NAME_MOST = 255  # bytes of a topic's name


def encode(server: bytes, text: bool, payload: bytes) -> bytes:
    """A message as it is published."""
    return b"".join((MAGIC, server, b"t" if text else b"b", payload))


def decode(data: bytes) -> tuple[bytes, bool, bytes]:
    """The server a message is from, b"" for another program; whether it is text; and its payload."""
    if data.startswith(MAGIC) and len(data) >= HEAD_SIZE and data[HEAD_SIZE - 1] in b"tb":
        return data[len(MAGIC) : HEAD_SIZE - 1], data[HEAD_SIZE - 1] == ord("t"), data[HEAD_SIZE:]
    try:
        data.decode()
    except UnicodeDecodeError:
        return b"", False, data
    return b"", True, data


def connect(url: str) -> Any:
    """A client of the library, which connects when it is first used.

    Raises:
        ConfigError: the library is not installed, or cannot read the URL.
    """
    if find_spec("valkey") is None:
        raise ConfigError("pubsub: the library is not installed; pip install 'dimserver[valkey]'")
    import valkey
    from valkey.backoff import NoBackoff
    from valkey.retry import Retry

    try:
        return valkey.Valkey.from_url(
            url,
            socket_connect_timeout=CONNECT,
            socket_timeout=CONNECT,
            health_check_interval=HEALTH,
            retry=Retry(NoBackoff(), 0),
            decode_responses=False,
        )
    except (ValueError, TypeError) as error:
        raise ConfigError(f"pubsub: {shown_url(url)}: {type(error).__name__}: the URL cannot be used") from None


class PubSub:
    """One worker's connections to Valkey or Redis.

    Args:
        url: ``valkey://user:password@host:port/number`` and its kin; never logged as it is.
        prefix: of the channels.
        server: 8 bytes that all workers of this server have in common, and nobody else.
        most: bytes that may wait in either direction.
        receive: called on the loop's thread with name, whether it is text, and payload.
        loop, log: of the worker.

    Attributes:
        sent, received: messages that went there, and that came from there from others.
        dropped: messages that were lost because there was no connection, or too much waited.
        connected: whether messages of others arrive.

    Raises:
        ConfigError: the library is not installed, or cannot read the URL.

    Thread-safety: `publish` and `close` on the loop's thread.
    """

    def __init__(self, url: str, prefix: str, server: bytes, most: int, receive: Receive, loop: Loop, log: Log) -> None:
        self.sent = 0
        self.received = 0
        self.dropped = 0
        self.connected = False
        self._url = url
        self._prefix = prefix.encode()
        self._server = server
        self._most = most
        self._receive = receive
        self._loop = loop
        self._log = log
        self._lock = Lock()  # of the figures and of what is told
        self._refused = ThrottledLog(log.error)
        self._progress = 0  # connections made and messages published
        self._told = ""  # why it is away, as the log has it
        self._tell_at = 0.0  # not earlier, if the reason changes
        self._missed = 0  # messages dropped since then
        self._closing = Event()
        self._filled = Condition()
        self._queue: deque[tuple[bytes, bytes]] = deque()
        self._queued = 0  # bytes
        self._handed = 0  # bytes given to the loop and not taken yet
        self._subscription: Any = None
        self._publisher = connect(url)
        self._threads = [
            Thread(target=self._work, args=(work, lost), name=f"pubsub {name}", daemon=True)
            for name, work, lost in (("out", self._send_all, self._not_sent), ("in", self._take_all, self._lost))
        ]
        for thread in self._threads:
            thread.start()

    # --- the loop -------------------------------------------------------------------------------

    def publish(self, name: str, text: bool, payload: bytes) -> None:
        """Have a message published, as soon as the thread comes to it; dropped without a connection."""
        size = len(payload)
        with self._filled:
            if self.connected and not (self._queued and self._queued + size > self._most):
                self._queue.append((self._prefix + name.encode(), encode(self._server, text, payload)))
                self._queued += size + HEAD_SIZE
                self._filled.notify()
                return
        self._drop(1)

    def _deliver(self, name: str, text: bool, payload: bytes) -> None:
        with self._lock:
            self._handed -= len(payload) + HEAD_SIZE
        if not self._closing.is_set():
            self._receive(name, text, payload)

    def close(self) -> None:
        """End both threads; what waits is lost.  Again is fine."""
        self._closing.set()
        with self._filled:
            self._filled.notify()
        self._hang_up()
        for thread in self._threads:
            thread.join(ENDING)
        self._publisher.close()

    def _hang_up(self) -> None:
        """Wake the thread that listens."""
        import socket

        sock = getattr(getattr(self._subscription, "connection", None), "_sock", None)
        try:
            if sock is not None:
                sock.shutdown(socket.SHUT_RDWR)
        except OSError:  # it is closed already
            pass

    # --- the threads ----------------------------------------------------------------------------

    def _work(self, work: Callable[[], object], lost: Callable[[Exception], object]) -> None:
        """Do what a thread is for, again and again, with pauses between failures."""
        from valkey.exceptions import ValkeyError

        failures = 0
        while not self._closing.is_set():
            began = self._progress
            try:
                work()
            except (ValkeyError, OSError) as error:
                lost(error)
            except Exception as error:  # a thread that ends would end the exchange for good
                self._log.error("internal error in pub/sub (it continues)", error=error)
            failures = 0 if self._progress > began else failures + 1
            self._closing.wait(PAUSES[min(failures, len(PAUSES) - 1)])

    def _send_all(self) -> None:
        while True:
            with self._filled:
                while not self._queue and not self._closing.is_set():
                    self._filled.wait()
                if self._closing.is_set():
                    return
                batch = [self._queue.popleft() for _ in range(min(len(self._queue), AT_ONCE))]
                self._queued -= sum(len(data) for _, data in batch)
            try:
                pipeline = self._publisher.pipeline(transaction=False)
                for channel, data in batch:
                    pipeline.publish(channel, data)
                pipeline.execute()
            except BaseException:
                self._drop(len(batch))  # some may have gone; nobody knows
                raise
            with self._lock:
                self.sent += len(batch)
                self._progress += 1

    def _take_all(self) -> None:
        client = connect(self._url)
        subscription = client.pubsub()
        self._subscription = subscription
        try:
            subscription.psubscribe(self._prefix + b"*")
            while not self._closing.is_set():
                message = subscription.get_message(timeout=LISTEN)
                if message is not None:
                    self._take(message)
        finally:
            self._subscription = None
            subscription.close()
            client.close()

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "psubscribe":
            self._restored()
        if message["type"] != "pmessage":
            return
        server, text, payload = decode(message["data"])
        name = message["channel"][len(self._prefix) :]
        if server == self._server or not 1 <= len(name) <= NAME_MOST:
            return
        try:
            decoded = name.decode()
        except UnicodeDecodeError:  # no topic has such a name
            return
        size = len(payload) + HEAD_SIZE
        with self._lock:
            full = self._handed and self._handed + size > self._most
            if not full:
                self.received += 1
                self._handed += size
        if full:
            self._drop(1)
        else:
            self._loop.call_from_thread(partial(self._deliver, decoded, text, payload))

    # --- what is told ---------------------------------------------------------------------------

    def _drop(self, messages: int) -> None:
        with self._lock:
            self.dropped += messages
            self._missed += messages

    def _not_sent(self, error: Exception) -> None:
        """Publishing failed.  That the server is away is found, and told, by who listens; here only that it said no."""
        from valkey.exceptions import ResponseError

        if isinstance(error, ResponseError):
            self._refused.tell(f"pubsub: {shown_url(self._url)} rejects messages: {error}")

    def _lost(self, error: Exception) -> None:
        with self._lock:
            if self._closing.is_set():
                return
            self.connected = False
            why = f"{type(error).__name__}: {error}"
            told = self._told
            again = told != "" and told != why and monotonic() >= self._tell_at
            if not told or again:
                self._told = why
                self._tell_at = monotonic() + CHANGES
            if not told:
                self._missed = 0
        with self._filled:
            waiting = len(self._queue)
            self._queue.clear()
            self._queued = 0
        self._drop(waiting)
        if not told:
            self._log.error(
                f"pubsub: {shown_url(self._url)} is unavailable ({why}); "
                "messages stay within this server until it returns"
            )
        elif again:
            self._log.error(f"pubsub: {shown_url(self._url)} is still unavailable; the reason is now {why}")

    def _restored(self) -> None:
        with self._lock:
            self.connected = True
            self._progress += 1
            told, self._told = self._told, ""
            missed, self._missed = self._missed, 0
        if told:
            self._log.info(f"pubsub: {shown_url(self._url)} is back; {missed} messages were lost meanwhile")
