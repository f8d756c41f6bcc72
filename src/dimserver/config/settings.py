"""The table of all settings, and the object that holds their values."""

from __future__ import annotations

from collections.abc import Mapping

from dimserver.config.foreign import advice, near
from dimserver.config.headers import HEADERS, HeaderTable
from dimserver.config.limits import LIMITS
from dimserver.config.operations import OPERATIONS
from dimserver.config.references import References
from dimserver.config.routing import ROUTING, RouteTable
from dimserver.config.serving import SERVING
from dimserver.config.setting import Setting
from dimserver.config.spelling import Spelling
from dimserver.config.tables import NamedSet, Reader, TableKind
from dimserver.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = [
    "BY_ATTRIBUTE",
    "FIXED",
    "SETTINGS",
    "Settings",
    "looked_up",
    "merge",
    "missing",
    "read_values",
    "unknown_setting",
]

SETTINGS: tuple[Setting, ...] = SERVING + ROUTING + HEADERS + LIMITS + OPERATIONS

BY_ATTRIBUTE: dict[str, Setting] = {setting.attribute: setting for setting in SETTINGS}

# What is done at the start, with the values of then.
FIXED = tuple(setting.attribute for setting in SETTINGS if setting.fixed)

# Two of a kind, of which a source may give one.
EXCLUSIVE = (
    ("uds", "fd", "a server has one main listener"),
    ("api_token", "api_token_file", "a server has one operator's token"),
)


def read_values(
    values: Mapping[str, object],
    spell: Callable[[Setting], str],
    where: str = "",
    rows: Iterable[Setting] = SETTINGS,
    mistakes: list[str] | None = None,
    references: References | None = None,
) -> dict[str, object]:
    """Check the values of one source.

    Args:
        values: what the source holds, by the names the source uses.
        spell: how the source spells the name of a setting; a `Spelling` knows of tables as well.
        where: what messages write before such a name, for example ``"site.toml:"``.
        rows: the settings it may have.
        mistakes: gets the message of each value that is not right, which is then left out; None raises the first.
        references: looks up values that stand somewhere else; None takes every text as it is.

    Returns:
        Typed values by attribute name, ready for `Settings(**values)`.  Sources
        are merged with `merge`.

    Raises:
        ConfigError: an unknown name, a bad value, or two that exclude each other.
    """
    spelling = spell if isinstance(spell, Spelling) else Spelling(spell)
    known = {spell(setting): setting for setting in rows}
    read: dict[str, object] = {}
    for spelled, value in values.items():
        setting = known.get(spelled)
        try:
            if setting is None:
                raise ConfigError(unknown_setting(spelled, known, where))
            if isinstance(setting.kind, TableKind):
                reader = Reader(setting, spelling, where, references, mistakes)
                read[setting.attribute] = setting.kind.read_tables(value, reader)
            else:
                read[setting.attribute] = setting.read(value, where + spelled, references)
        except ConfigError as error:
            if mistakes is None:
                raise
            mistakes.append(str(error))
    for one, other, because in EXCLUSIVE:
        if read.get(one) is not None and read.get(other) is not None:
            first, second = (where + spell(BY_ATTRIBUTE[name]) for name in (one, other))
            message = f"{first} and {second} exclude each other: {because}; give one of them"
            if mistakes is None:
                raise ConfigError(message)
            mistakes.append(message)
            del read[other]
    return read


def unknown_setting(word: str, known: Iterable[str], where: str = "") -> str:
    """What is said of a name that is none; arguments as for `read_values`."""
    shown = word if len(word) <= 80 else word[:60] + "…"
    # A variable is meant with its prefix, a key without its file.
    prefix = "" if where.endswith(":") else where
    meant = None if advice(word) else near(word, known)
    hint = advice(word) if meant is None else f"; did you mean '{prefix}{meant}'?"
    return f"unknown setting '{where}{shown}'{hint or '; `dimserver config` lists the known ones'}"


def missing(values: Mapping[str, object], rows: Iterable[Setting] = SETTINGS) -> Iterator[str]:
    """A message for each value of a named set that no source has given, and that must be.

    Args:
        values: of all sources together, as `merge` returns them.
        rows: the settings there are.
    """
    for setting in rows:
        if isinstance(setting.kind, NamedSet) and setting.attribute in values:
            yield from setting.kind.require(setting, setting.kind.typed_value(setting, values[setting.attribute]))


def merge(
    weaker: Mapping[str, object], stronger: Mapping[str, object], rows: Iterable[Setting] = SETTINGS
) -> dict[str, object]:
    """The values of two sources, by attribute name.

    Where to listen is one decision: a source that says anything of it, if only
    a port, is not contradicted by the Unix socket or descriptor of a weaker one.
    So is the operator's token.  A list is the stronger source's; named sets are merged by name and key.
    """
    merged = dict(weaker)
    if any(stronger.get(name) is not None for name in ("host", "port", "uds", "fd")):
        merged.pop("uds", None)
        merged.pop("fd", None)
    if any(stronger.get(name) is not None for name in ("api_token", "api_token_file")):
        merged.pop("api_token", None)
        merged.pop("api_token_file", None)
    merged.update(stronger)
    for setting in rows:
        name = setting.attribute
        if isinstance(setting.kind, NamedSet) and name in weaker and name in stronger:
            both = (setting.kind.typed_value(setting, source[name]) for source in (weaker, stronger))
            merged[name] = setting.kind.merge(*both)
    return merged


def looked_up(values: dict[str, object]) -> dict[str, object]:
    """The settings that a program gives, as they are, but what stands somewhere else (`env:`, `file:`) looked up now.

    Raises:
        ConfigError: a bad value, or a reference to nothing.
    """
    from os import environ, getcwd

    if not any(map(_may_refer, values.values())):
        return values
    typed = read_values(values, Spelling(), references=References(environ, getcwd()))
    return {name: typed[name] if _may_refer(value) else value for name, value in values.items()}


def _may_refer(value: object) -> bool:
    if isinstance(value, str):
        return "env:" in value or "file:" in value  # in an entry it stands inside
    if isinstance(value, (list, tuple)):
        return any(map(_may_refer, value))
    return isinstance(value, Mapping) and any(map(_may_refer, value.values()))


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
    uds_mode: int
    fd: int | None
    backlog: int
    admin: tuple[str, int] | str | None
    admin_mode: int
    interface: str
    factory: bool
    root_path: str
    lifespan: str
    asgi_pathsend: bool
    stream_bodies: bool
    static: str | None
    static_charset: str | None
    api: bool
    api_token: str | None
    api_token_file: str | None
    local_hosts: tuple[str, ...]
    trusted_proxies: tuple[str, ...]
    proxy_protocol: bool
    forwarded_headers: str
    forwarded_host: bool
    request_id_header: str | None
    route: tuple[RouteTable, ...]
    header: tuple[HeaderTable, ...]
    max_connections: int
    max_http: int
    max_websocket: int
    max_api: int
    max_per_address: int
    admin_reserve: int
    limit_request_line: int
    limit_head: int
    limit_field: int
    limit_fields: int
    limit_body: int
    body_memory: int
    budget_memory: int | None
    budget_spool: int | None
    ws_max_message: int
    ws_max_frames: int
    ws_buffer: int
    topic_buffer: int
    max_topics: int
    topics_per_socket: int
    spool_dir: str | None
    timeout: float
    timeout_connect: float
    timeout_handshake: float
    timeout_head: float
    timeout_half_closed: float
    timeout_linger: float
    timeout_linger_silence: float
    rate_body: int
    rate_send: int
    rate_credit: float
    watchdog: float
    ws_ping: float
    ws_timeout: float
    ws_message_timeout: float
    ws_close: float
    drain: float
    workers: int
    threads: int | None
    loop: str
    worker_timeout: float
    recycle_age: float
    recycle_requests: int
    recycle_memory: int
    pidfile: str | None
    reload: bool
    ws_slow: str
    ws_deflate: bool
    pubsub: str
    pubsub_prefix: str
    access_log: str
    access_log_file: str | None
    log_level: str
    log_file: str | None
    log_format: str

    def __init__(self, **values: object) -> None:
        given = read_values(values, Spelling())
        for message in missing(given):
            raise ConfigError(message)
        for setting in SETTINGS:
            object.__setattr__(self, setting.attribute, given.get(setting.attribute, setting.default))

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
            f"{s.attribute}={s.kind.show(value) if s.kind.secret(value) else repr(value)}"
            for s in SETTINGS
            if (value := getattr(self, s.attribute)) != s.default
        )
        return f"Settings({', '.join(changed)})"
