"""Every setting of the server: one row each, and the object that holds their values.

`SETTINGS` is the only list.  The command line's options, the text of
`dimserver config` and the attributes of `Settings` come from it.  A further
source of values (a file, the environment) is a mapping from names to values
and one call of `read_values`: nothing else has to know the new source.

Defaults are policy and live here alone; the ceilings of the ranges are what
the compiled core can hold (`dimcore/limits.pxd`).
"""

from __future__ import annotations

from dimserver.errors import ConfigError
from dimserver.kinds import (
    HOUR,
    SECOND,
    Choice,
    Duration,
    Endpoint,
    Flag,
    GiB,
    Integer,
    KiB,
    Kind,
    MiB,
    Name,
    Path,
    Size,
    SocketPath,
    Token,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["BY_ATTRIBUTE", "SETTINGS", "Setting", "Settings", "check_paths", "did_you_mean", "merge", "read_values"]

MAX_SPAN = 65535  # bytes; a head is described by spans of 16 bits (limits.pxd, MAX_HEAD_BYTES)


class Setting:
    """One row of the table.

    Attributes:
        group: the heading it is listed under.
        name: as on the command line without the dashes, for example `limit-head`.
        kind: how its value is read, checked and shown.
        default: the value it has when nobody gives one.
        what: what it does; one sentence.
        reason: why the default is what it is.
        attribute: its name in Python, for example `limit_head`.
        option: its name on the command line, for example `--limit-head`.
    """

    __slots__ = ("attribute", "default", "group", "kind", "name", "option", "reason", "what")

    def __init__(self, group: str, name: str, kind: Kind, default: object, what: str, reason: str) -> None:
        self.group = group
        self.name = name
        self.kind = kind
        self.default = default
        self.what = what
        self.reason = reason
        self.attribute = name.replace("-", "_")
        self.option = "--" + name

    def read(self, value: object, spelled: str) -> object:
        """The typed value of this setting.

        Args:
            value: text or a typed value, as the source has it.
            spelled: what the source calls this setting; for the error message.

        Raises:
            ConfigError: not a value of this setting.
        """
        try:
            return self.kind.read(value)
        except ValueError:
            pass
        shown = "the value given" if isinstance(self.kind, Token) else _quoted(value)
        raise ConfigError(f"{spelled}: {shown} is not allowed; allowed: {self.kind.allowed()}")

    def show_default(self) -> str:
        """The default as a user would write it."""
        return self.kind.show(self.default)


def _quoted(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:60] + "…" + text[-10:]


LISTEN = "Where to listen"
APP = "What to serve"
POOLS = "Connections"
LIMITS = "Sizes"
DEADLINES = "Deadlines"
LOGS = "Logs"

_DEADLINE = Duration(0.01, 24 * HOUR)
_HEAD_PART = Size(64, MAX_SPAN)
_POOL_CAP = Integer(0, 10_000_000, "connections", zero="no cap of its own")
_RATE = Integer(0, 1 * GiB, "bytes/s", zero="no minimum")

SETTINGS: tuple[Setting, ...] = (
    Setting(
        LISTEN, "host", Name(), "127.0.0.1",
        "Address to listen on.",
        "Nothing is reachable from outside until an operator says so.",
    ),
    Setting(
        LISTEN, "port", Integer(0, 65535, zero="the system picks one, which is printed"), 8080,
        "TCP port to listen on.",
        "The usual alternative to 80, which only root may bind.",
    ),
    Setting(
        LISTEN, "uds", SocketPath(), None,
        "Listen on a Unix socket at this path instead of host and port.",
        "For a proxy on the same machine; no TCP port is opened.",
    ),
    Setting(
        LISTEN, "fd", Integer(0, 1_048_576, optional=True), None,
        "Listen on this inherited descriptor, a bound stream socket, instead of host and port.",
        "For a parent that binds a privileged port, or keeps the socket open between restarts.",
    ),
    Setting(
        LISTEN, "backlog", Integer(1, 65535, "connections"), 2048,
        "Connections the kernel may queue before they are accepted.",
        "A burst of clients must not be refused while one batch is served; Linux cuts it to net.core.somaxconn.",
    ),
    Setting(
        LISTEN, "admin", Endpoint(), None,
        "A second listener for operators: its connections are the admin pool and may read every built-in endpoint.",
        "Off: one more open port is an operator's decision.",
    ),
    Setting(
        APP, "interface", Choice("auto", "native"), "auto",
        "Calling convention of APP; auto looks at the object.",
        "The object itself says what it is.",
    ),
    Setting(
        APP, "static", Path("DIR"), None,
        "Serve the files of this directory to GET and HEAD.",
        "Off: no file is published by accident.",
    ),
    Setting(
        APP, "api", Flag(), False,
        "Serve the built-in endpoints under /api on the main listener also when there is an APP.",
        "An app's paths are its own; without an APP, and on the admin listener, they are there anyway.",
    ),
    Setting(
        APP, "api-token", Token(), None,
        "Bearer token that lets a remote client read /api/stats and /api/connections.",
        "Off: without it only loopback and the admin listener may; a command line is visible to other local users.",
    ),
    Setting(
        APP, "workers", Integer(1, 1, "processes", note="this version runs one worker process"), 1,
        "Worker processes.",
        "One process serves one core.",
    ),
    Setting(
        APP, "threads", Integer(0, 1024, "threads", zero="on the loop"), 0,
        "Threads that run handlers; with 0 only those marked blocking leave the loop, for a small pool.",
        "A handler that does not wait is fastest on the loop: a hand-over to a thread costs more than most handlers.",
    ),
    Setting(
        POOLS, "max-connections", Integer(1, 10_000_000, "connections"), 10_000,
        "Open connections of a worker; one more is answered 503 and closed.",
        "About 5 MB when all of them are idle; raise the descriptor limit (ulimit -n) together with it.",
    ),
    Setting(
        POOLS, "max-http", _POOL_CAP, 0,
        "Open connections of the http pool.",
        "One pool may use what the others leave.",
    ),
    Setting(
        POOLS, "max-websocket", _POOL_CAP, 0,
        "Open connections of the websocket pool.",
        "One pool may use what the others leave.",
    ),
    Setting(
        POOLS, "max-api", _POOL_CAP, 0,
        "Open connections of the api pool.",
        "One pool may use what the others leave.",
    ),
    Setting(
        POOLS, "admin-reserve", Integer(0, 65535, "connections"), 16,
        "Connections kept for the admin listener on top of max-connections.",
        "An operator gets in when every other place is taken.",
    ),
    Setting(
        LIMITS, "limit-request-line", _HEAD_PART, 8 * KiB,
        "Longest request line; a longer one is answered 414.",
        "RFC 9112 section 3 asks for 8000 octets at least.",
    ),
    Setting(
        LIMITS, "limit-head", Size(256, MAX_SPAN), 32 * KiB,
        "Largest head, request line and fields together; a larger one is answered 431.",
        "Room for the cookies of a browser (nginx takes 4 buffers of 8 KiB, Node 16 KiB); 64 KiB is the core's bound.",
    ),
    Setting(
        LIMITS, "limit-field", _HEAD_PART, 8 * KiB,
        "Longest single header field, name and value; a longer one is answered 431.",
        "RFC 9110 section 5.4 leaves it to the server; 8 KiB is what nginx and Apache take.",
    ),
    Setting(
        LIMITS, "limit-fields", Integer(1, 100, "fields"), 100,
        "Most header fields of a request; more are answered 431.",
        "Apache and gunicorn draw the line at 100; browsers send about 20.",
    ),
    Setting(
        LIMITS, "limit-body", Size(0, 1024 * GiB), 16 * MiB,
        "Largest request body; a larger one is answered 413 before it is read.",
        "A body is held in memory for its handler; enough for forms and JSON, small enough to refuse a flood.",
    ),
    Setting(
        LIMITS, "body-memory", Size(0, 1 * GiB), 1 * MiB,
        "A larger body is handed to a handler on a thread as it comes, and kept in a file for any other.",
        "Forms and JSON fit, so that few requests touch a disk; a thousand uploads at once take 1 GiB.",
    ),
    Setting(
        LIMITS, "spool-dir", Path("DIR"), None,
        "Directory of the temporary files of large bodies; the system's when not given.",
        "The system's is there and is writable.",
    ),
    Setting(
        DEADLINES, "timeout", _DEADLINE, 300 * SECOND,
        "A kept-alive connection is closed after this long without a request.",
        "An idle connection costs about 450 bytes, a new one a round trip.",
    ),
    Setting(
        DEADLINES, "timeout-connect", _DEADLINE, 10 * SECOND,
        "A new connection that sends nothing is closed after this long.",
        "Browsers open spare connections, but use them within seconds.",
    ),
    Setting(
        DEADLINES, "timeout-handshake", _DEADLINE, 10 * SECOND,
        "An upgrade handshake is done within this time.",
        "Three round trips on a bad line are far below it.",
    ),
    Setting(
        DEADLINES, "timeout-head", _DEADLINE, 10 * SECOND,
        "A head is complete within this time of its first byte; else it is answered 408.",
        "A head is one packet or two; who needs longer holds a place on purpose (Slowloris).",
    ),
    Setting(
        DEADLINES, "timeout-linger", _DEADLINE, 2 * SECOND,
        "After an error answer, what the client still sends is read and dropped for this long.",
        "Closing at once would reset the connection and destroy the answer on its way (RFC 9112 section 9.6).",
    ),
    Setting(
        DEADLINES, "rate-body", _RATE, 240,
        "A request body arrives at least this fast; else it is answered 408.",
        "Below any modem (Kestrel's figure), above a client that sends drops to hold a place.",
    ),
    Setting(
        DEADLINES, "rate-send", _RATE, 240,
        "A client reads its answer at least this fast; else its connection is closed.",
        "The same bound in the other direction.",
    ),
    Setting(
        DEADLINES, "rate-grace", Duration(0, 1 * HOUR), 5 * SECOND,
        "rate-body and rate-send count only after this long.",
        "TCP needs a few round trips to find its speed; a mobile line pauses for seconds.",
    ),
    Setting(
        DEADLINES, "drain", Duration(0, 1 * HOUR), 30 * SECOND,
        "At a stop, requests in flight may take this long to finish.",
        "What Kubernetes and most balancers grant before they kill.",
    ),
    Setting(
        LOGS, "access-log", Choice("off", "common", "combined", "json"), "off",
        "One line for each answer on standard output.",
        "Off: a line costs about as much as a small request.",
    ),
    Setting(
        LOGS, "log-level", Choice("debug", "info", "warning", "error", "critical"), "info",
        "What is reported on standard error.",
        "Start, stop and faults; nothing that every request repeats.",
    ),
)  # fmt: skip

BY_ATTRIBUTE: dict[str, Setting] = {setting.attribute: setting for setting in SETTINGS}


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the known word nearest to `word`, or an empty text."""
    import difflib  # needed for mistakes only, and it brings re

    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""


def read_values(values: Mapping[str, object], spell: Callable[[Setting], str]) -> dict[str, object]:
    """Check the values of one source.

    Args:
        values: what the source holds, by the names the source uses.
        spell: how the source spells the name of a setting.

    Returns:
        Typed values by attribute name, ready for `Settings(**values)`.  Sources
        are merged with `merge`.

    Raises:
        ConfigError: an unknown name, or a bad value.
    """
    known = {spell(setting): setting for setting in SETTINGS}
    read: dict[str, object] = {}
    for spelled, value in values.items():
        setting = known.get(spelled)
        if setting is None:
            raise ConfigError(f"unknown setting '{spelled}'{did_you_mean(spelled, known)}")
        read[setting.attribute] = setting.read(value, spelled)
    return read


def merge(weaker: Mapping[str, object], stronger: Mapping[str, object]) -> dict[str, object]:
    """The values of two sources, by attribute name.

    Where to listen is one decision: a source that says anything of it, if only
    a port, is not contradicted by the Unix socket or descriptor of a weaker one.
    """
    merged = dict(weaker)
    if any(stronger.get(name) is not None for name in ("host", "port", "uds", "fd")):
        merged.pop("uds", None)
        merged.pop("fd", None)
    merged.update(stronger)
    return merged


class Settings:
    """The values of all settings; read-only.

    Args:
        values: by attribute name; text or typed.  What is not given has its default.

    Raises:
        ConfigError: an unknown name, a bad value, or two values that exclude each other.

    Thread-safety: never changes after it was built.
    """

    __slots__ = tuple(BY_ATTRIBUTE)

    host: str
    port: int
    uds: str | None
    fd: int | None
    backlog: int
    admin: tuple[str, int] | str | None
    interface: str
    static: str | None
    api: bool
    api_token: str | None
    workers: int
    threads: int
    max_connections: int
    max_http: int
    max_websocket: int
    max_api: int
    admin_reserve: int
    limit_request_line: int
    limit_head: int
    limit_field: int
    limit_fields: int
    limit_body: int
    body_memory: int
    spool_dir: str | None
    timeout: float
    timeout_connect: float
    timeout_handshake: float
    timeout_head: float
    timeout_linger: float
    rate_body: int
    rate_send: int
    rate_grace: float
    drain: float
    access_log: str
    log_level: str

    def __init__(self, **values: object) -> None:
        given = read_values(values, lambda setting: setting.attribute)
        for setting in SETTINGS:
            object.__setattr__(self, setting.attribute, given.get(setting.attribute, setting.default))
        if self.uds is not None and self.fd is not None:
            raise ConfigError("uds and fd exclude each other: a server has one main listener; give one of them")

    def replace(self, **changes: object) -> Settings:
        """A copy with some values changed.

        Raises:
            ConfigError: as for the constructor.
        """
        values: dict[str, object] = {name: getattr(self, name) for name in BY_ATTRIBUTE}
        values.update(changes)
        return Settings(**values)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"settings are read-only; use replace({name}=...)")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("settings are read-only")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Settings):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in BY_ATTRIBUTE)

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name) for name in BY_ATTRIBUTE))

    def __repr__(self) -> str:
        # What differs from the defaults, and never the secret itself: this text ends up in logs.
        changed = (
            f"{s.attribute}={s.kind.show(value) if isinstance(s.kind, Token) else repr(value)}"
            for s in SETTINGS
            if (value := getattr(self, s.attribute)) != s.default
        )
        return f"Settings({', '.join(changed)})"


def check_paths(settings: Settings) -> None:
    """Look at the directories that settings name, before anything is bound.

    Raises:
        ConfigError: not there, not a directory, or not readable.
    """
    import os

    if settings.static is not None:
        _check_directory("--static", settings.static)
    if settings.spool_dir is not None:
        _check_directory("--spool-dir", settings.spool_dir)
        if not os.access(settings.spool_dir, os.W_OK):
            raise ConfigError(f"--spool-dir: no permission to write to this directory: '{settings.spool_dir}'")


def _check_directory(option: str, path: str) -> None:
    import os

    trouble = ""
    try:
        os.scandir(path).close()
        if not os.access(path, os.X_OK):
            trouble = "no permission to open the files of this directory"
    except FileNotFoundError:
        trouble = "no such directory"
    except NotADirectoryError:
        trouble = "not a directory"
    except PermissionError:
        trouble = "no permission to read this directory"
    except OSError as error:
        trouble = error.strerror or "cannot be read"
    if trouble:
        raise ConfigError(f"{option}: {trouble}: '{path}'")
