"""What a supervisor holds while workers come and go: the sockets, the board, the log, and what goes with them."""

from __future__ import annotations

import os

from dimcore import Board, SegmentError, SegmentSet
from dimserver.config import BY_ATTRIBUTE, FIXED
from dimserver.errors import StartError
from dimserver.net.listener import hide_descriptor
from dimserver.net.loop import Loop
from dimserver.net.private_dir import PrivateDirectory
from dimserver.net.sockets import Sockets
from dimserver.supervisor.autoreload import check_library
from dimserver.supervisor.pid_file import PidFile
from dimserver.supervisor.systemd import Notifier, passed_sockets
from dimserver.worker.cgroup import usable_cpus
from dimserver.worker.logs import open_log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dimserver.config import Settings

__all__ = ["SupervisorState", "make_segments", "workers_wanted"]

MOST_WORKERS = 512  # at a time, those that drain included; each takes 12 KiB of the board, once it is there


def workers_wanted(settings: Settings) -> int:
    """How many workers the settings ask for; "auto" is one for each CPU."""
    return settings.workers or usable_cpus()


def make_segments(
    settings: Settings,  # noqa: ARG001 - the board has the same size under all of them
    before: SegmentSet | None = None,
) -> SegmentSet:
    """The shared memory of workers with these settings; it is made before the first of them is forked.

    Each service that shares memory has a line here: name, version of its layout, and a size that a setting bounds.

    Args:
        settings: what is known before the app is imported: its own defaults are not.
        before: the set of the generation before: segments that are the same are kept.

    Raises:
        StartError: the system refuses the memory.
    """
    wanted = (Board.segment(MOST_WORKERS),)
    try:
        return SegmentSet(wanted, before)
    except SegmentError as error:
        raise StartError(str(error)) from None


class SupervisorState:
    """See the module.

    Args:
        settings: at the start.

    Attributes:
        settings: of the newest generation that serves.
        log, loop, board, notifier: the supervisor's own.
        segments: of shared memory, of the first generation; each later one keeps those that stay the same.
        directory: where workers have their private sockets.
        sockets: None until the first worker has said what its app wants.
        announced: whether every worker has served once.
        stopping: whether the end has begun.

    Raises:
        StartError: the log cannot be opened, or the system refuses shared memory.

    Thread-safety: the supervisor's thread.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        # Before anything is opened here, which might get a number that was left free.
        self._passed = passed_sockets()
        self._given = {fd for fd, _ in self._passed}
        if settings.fd is not None and hide_descriptor(settings.fd):
            self._given.add(settings.fd)
        self.log = open_log(settings)
        self.loop = Loop(self.trouble)
        self.notifier = Notifier()
        self.segments = make_segments(settings)
        self.board = Board(MOST_WORKERS, self.segments["board"])
        self.directory = PrivateDirectory()
        self.sockets: Sockets | None = None
        self.announced = False
        self.stopping = False
        self._pidfile: PidFile | None = None

    def trouble(self, error: Exception) -> None:
        """A fault of the supervisor."""
        self.report("internal error in the supervisor (it continues)", error)

    def report(self, message: str, error: BaseException | None) -> None:
        """Log what went wrong, in the log of now."""
        self.log.error(message, error=error)

    def open(self, settings: Settings) -> None:
        """Open what is opened once, when the first worker has said what its app wants.

        Raises:
            StartError: the system refused.
            ConfigError: a library is missing.
        """
        if settings.reload:
            check_library()
        if settings.pidfile is not None:
            self._pidfile = PidFile(settings.pidfile)
            self._pidfile.write()
        self.sockets = Sockets(settings, grouped=True, passed=self._passed)

    def settle(self, settings: Settings) -> Settings:
        """The settings of a new generation, with what cannot change while the server runs."""
        if self.sockets is None:
            return settings
        keep = {name: getattr(self.settings, name) for name in FIXED}
        changed = [BY_ATTRIBUTE[name].option for name, value in keep.items() if getattr(settings, name) != value]
        if changed:
            stay = "stay as they are" if changed[1:] else "stays as it is"
            self.log.warning(f"reload: {', '.join(changed)} {stay} until the server restarts")
        return settings.replace(**keep)

    def renew(self, settings: Settings) -> None:
        """A generation with these settings serves."""
        self.settings = settings
        try:
            fresh = open_log(settings)
        except StartError as error:
            self.log.error(f"{error}; the old one stays in use")
        else:
            self.log.close()
            self.log = fresh

    def forget(self) -> None:
        """In a process forked from this one: give up what is the supervisor's."""
        if self.sockets is not None:
            self.sockets.forget()
        else:
            for fd in self._given:  # the first worker is there before they are taken
                os.close(fd)
        self.directory.forget()
        if self._pidfile is not None:
            self._pidfile.forget()
        self.loop.close()
        self.notifier.close()
        self.log.close()

    def close(self) -> None:
        """Close all, and remove what has a name in the file system."""
        if self.sockets is not None:
            self.sockets.close(self.log)
        self.directory.close()
        if self._pidfile is not None:
            self._pidfile.remove()
        self.notifier.close()
        self.loop.close()
