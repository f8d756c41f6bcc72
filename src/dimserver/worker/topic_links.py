"""The topics of a worker's app, joined with its loop and with what carries their messages further."""

from __future__ import annotations

import os
from _thread import get_ident

from dimserver.net.throttled_log import ThrottledLog

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dimcore.budget import Budget
    from dimserver.config import Settings
    from dimserver.log import Log
    from dimserver.net.loop import Loop
    from dimserver.net.relay import Relay
    from dimserver.routes import Routes
    from dimserver.services.pubsub import PubSub

__all__ = ["TopicService"]


class TopicService:
    """Serves the topics of one app while its worker runs.

    The links to other workers and servers are made at the start where the app has WebSockets or has asked for a
    topic by then, so that a subscriber of the first moment misses nothing; else when it asks for the first one.

    Args:
        app: whose topics they are.
        settings: see ``dimserver config``.
        directory: where the workers of the server have their private sockets; None for one that is alone.
        loop, log: of the worker.

    Raises:
        ConfigError: the library that `pubsub` needs is not installed, or cannot read its URL.

    Thread-safety: the loop's thread.
    """

    def __init__(self, app: Routes, settings: Settings, directory: str | None, loop: Loop, log: Log) -> None:
        self._app = app
        self._topics = app.topics
        self._settings = settings
        self._directory = directory
        self._loop = loop
        self._log = log
        self._thread = 0  # the loop's
        self._linked = False
        self._relay: Relay | None = None
        self._pubsub: PubSub | None = None
        if settings.pubsub not in ("off", "workers"):
            from dimserver.services.pubsub import connect

            connect(settings.pubsub).close()  # a mistake is told before anything is served

    def open(self, budget: Budget) -> None:
        """Begin; on the thread of the loop.

        Args:
            budget: what the messages that wait are counted in.
        """
        settings = self._settings
        self._thread = get_ident()
        self._topics.configure(
            max_topics=settings.max_topics,
            max_per_socket=settings.topics_per_socket,
            max_waiting=settings.topic_buffer,
        )
        self._topics.attach(
            soon=self._loop.call_soon,
            from_thread=self._loop.call_from_thread,
            report=self._log.error,
            first=self._first,
            budget=budget,
        )
        if self._topics.used or self._has_sockets():
            self._link()

    def _has_sockets(self) -> bool:
        routes = self._app.request_manifold.router.routes()
        return any(hasattr(route.handler, "configure_websocket") for route in routes)

    def _first(self) -> None:
        if get_ident() == self._thread:
            self._link()
        else:
            self._loop.call_from_thread(self._link)

    def _link(self) -> None:
        if self._linked:
            return
        self._linked = True
        reach = self._settings.pubsub
        if reach == "off":
            return
        directory = self._directory
        if directory is not None:
            from dimserver.net.relay import Relay

            throttled = ThrottledLog(self._log.warning)
            try:
                self._relay = Relay(directory, self._loop, self._topics.deliver, self._settings.topic_buffer, throttled)
            except OSError as error:
                self._log.error(f"messages to topics stay within this worker: {error.strerror} ({directory})")
            else:
                self._topics.add_outlet(self._relay.publish)
        if reach != "workers":
            from dimserver.services.pubsub import SERVER_BYTES, PubSub

            # All workers of a server have one directory, whose name is random, and no other server has it.  It may be
            # made anew in another place, under the same name.
            name = os.urandom(SERVER_BYTES) if directory is None else _server(directory)
            self._pubsub = PubSub(
                reach, self._settings.pubsub_prefix, name, self._settings.topic_buffer,
                self._topics.deliver, self._loop, self._log,
            )  # fmt: skip
            self._topics.add_outlet(self._pubsub.publish)

    def move(self, directory: str | None) -> None:
        """The directory of the private sockets was made anew, or is no more."""
        self._directory = directory
        if self._relay is not None and directory is not None:
            try:
                self._relay.move(directory)
            except OSError as error:
                self._log.error(f"topics: new workers do not find this one: {error.strerror} ({directory})")

    def figures(self) -> dict[str, int]:
        """What this worker has done for topics, as counters by name; see `dimcore.Topics` for most of them."""
        topics, relay, pubsub = self._topics, self._relay, self._pubsub
        return {
            "topics": topics.active,
            "subscriptions": topics.subscriptions,
            "waiting_bytes": topics.waiting,
            "published": topics.published,
            "received": topics.received,
            "sent": topics.sent,
            "lost": topics.lost,
            "dropped": topics.dropped,
            "relayed": 0 if relay is None else relay.sent,
            "relay_dropped": 0 if relay is None else relay.dropped,
            "pubsub_sent": 0 if pubsub is None else pubsub.sent,
            "pubsub_received": 0 if pubsub is None else pubsub.received,
            "pubsub_dropped": 0 if pubsub is None else pubsub.dropped,
            "pubsub_connected": int(pubsub is not None and pubsub.connected),
        }

    def counts(self) -> dict[str, int]:
        """Subscribers in this worker by topic."""
        return self._topics.counts()

    def close(self) -> None:
        """End: what is published from now on is dropped; again is fine."""
        self._topics.detach()
        if self._relay is not None:
            self._relay.close()
            self._relay = None
        if self._pubsub is not None:
            self._pubsub.close()
            self._pubsub = None


def _server(directory: str) -> bytes:
    from hashlib import blake2b

    from dimserver.services.pubsub import SERVER_BYTES

    return blake2b(os.fsencode(os.path.basename(directory)), digest_size=SERVER_BYTES).digest()
