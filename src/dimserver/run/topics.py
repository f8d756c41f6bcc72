"""The topics of a worker's app, joined with its loop and with what carries their messages further."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dimcore import Topics
    from dimserver.config import Settings
    from dimserver.log import Log
    from dimserver.net.loop import Loop
    from dimserver.run.operations import Place

__all__ = ["TopicService"]


class TopicService:
    """Serves the topics of one app while its worker runs.

    Args:
        topics: of the app.
        settings: see ``dimserver config``.
        place: of the worker among the others.
        loop, log: of the worker.

    Thread-safety: the loop's thread.
    """

    def __init__(self, topics: Topics, settings: Settings, place: Place, loop: Loop, log: Log) -> None:
        self._topics = topics
        self._settings = settings
        self._place = place
        self._loop = loop
        self._log = log

    def open(self) -> None:
        """Begin; on the thread of the loop."""
        settings = self._settings
        self._topics.configure(
            max_topics=settings.max_topics,
            max_per_socket=settings.topics_per_socket,
            max_waiting=settings.topic_buffer,
        )
        self._topics.attach(soon=self._loop.call_soon, from_thread=self._loop.call_from_thread, report=self._log.error)

    def close(self) -> None:
        """End: what is published from now on is dropped; again is fine."""
        self._topics.detach()
