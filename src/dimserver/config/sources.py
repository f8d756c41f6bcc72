"""Where values come from: the command line, the environment, a file; the first of them that has one counts."""

from __future__ import annotations

import os

from dimserver.config.references import References
from dimserver.config.setting import PREFIX, Setting
from dimserver.config.settings import SETTINGS, Settings, merge, missing, read_values
from dimserver.config.spelling import APP_NAME, FileSpelling, LineSpelling, Spelling, VariableSpelling, split_variables
from dimserver.config.tables import NamedSet
from dimserver.config.types import Path, Target
from dimserver.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["APP", "CONFIG", "Loaded", "Sources", "check_file"]


class ConfigPath(Path):
    """The path of the file of settings, taken as it is written."""

    refers = False


# Neither is a setting of a server: one says what is served, the other where settings are.
APP = Setting(
    "Sources", APP_NAME, Target(), None,
    "What is served; on the command line it is written without an option.",
    "None: the built-in API and static files.",
)  # fmt: skip
CONFIG = Setting(
    "Sources", "config", ConfigPath("FILE"), None,
    "A TOML file with settings.",
    "No file is looked for: one that is found by accident is a surprise.",
    fixed=True,
)  # fmt: skip

LINE = LineSpelling()
VARIABLES = VariableSpelling()


class Loaded:
    """What all sources together said at one moment.

    Attributes:
        app: what is to be served, or None.
        settings: all of them.
        values: those that were given, typed, by attribute name.
        origins: what a message calls each of them, for example ``site.toml:limit-head``.

    Raises:
        ConfigError: as for `Settings`.

    Thread-safety: never changes after it was built.
    """

    __slots__ = ("app", "origins", "settings", "values")

    def __init__(self, values: Mapping[str, object], origins: Mapping[str, str], app: str | None = None) -> None:
        self.app = app
        self.values = dict(values)
        self.origins = {name: origin for name, origin in origins.items() if name in self.values}
        self.settings = Settings(**self.values)

    def above(self, defaults: Mapping[str, object]) -> Loaded:
        """The same with the defaults of an app, which count where no source says anything.

        Raises:
            ConfigError: a bad value among them.
        """
        values = merge(defaults, self.values)
        origins = {name: f"App({name}=...)" for name in defaults} | self.origins
        return Loaded(values, origins, self.app)


class Sources:
    """The sources of one process; what they say may be loaded again and again.

    Args:
        line: the command line's values, by option (`--port`, `--config`) and, for what is served, `APP`.
        environ: the environment; copied.
        directory: absolute; what relative paths in any source start from.  The current one when None.
        variables: those that ``env:NAME`` may name; copied.  `environ` when None.

    Raises:
        ConfigError: the file is named in a way that cannot be.

    Thread-safety: never changes after it was built.
    """

    __slots__ = ("_config", "_config_origin", "_directory", "_environ", "_line", "_references")

    def __init__(
        self,
        line: Mapping[str, object],
        environ: Mapping[str, str],
        directory: str | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        # All of it is taken down now: at a reload, an app may have changed the directory or the environment.
        self._directory = _current_directory() if directory is None else directory
        self._line = dict(line)
        self._references = References(dict(environ if variables is None else variables), self._directory)
        self._environ = _variables(environ)
        self._config: str | None = None
        self._config_origin = ""
        for values, key, origin in (
            (self._line, LINE(CONFIG), CONFIG.option),
            (self._environ, VARIABLES(CONFIG), CONFIG.variable),
        ):
            if key in values:
                named = CONFIG.read(values[key], origin)
                self._config = None if named is None else str(named)
                self._config_origin = origin
                break

    @property
    def file(self) -> str | None:
        """The absolute path of the file of settings, or None."""
        return None if self._config is None else str(CONFIG.kind.resolve(self._config, self._directory))

    def load(self, mistakes: list[str] | None = None) -> Loaded:
        """Read all sources, the file anew.

        Args:
            mistakes: gets a message of each value that is not right, which is then left out; None raises the first.

        Raises:
            ConfigError: an unknown name or a bad value; nothing has changed then.
        """
        values, origins = self.read(mistakes=mistakes)
        app = values.pop(APP.attribute, None)
        return Loaded(values, origins, None if app is None else str(app))

    def read(
        self, rows: tuple[Setting, ...] = SETTINGS, mistakes: list[str] | None = None
    ) -> tuple[dict[str, object], dict[str, str]]:
        """What `load` puts together, for any table of settings: the values, and where they are from.

        Args:
            rows: the settings there are; what is served is read as well.
            mistakes: as for `load`.

        Raises:
            ConfigError: as for `load`.
        """
        values: dict[str, object] = {}
        origins: dict[str, str] = {}
        known = {setting.attribute: setting for setting in rows}
        for raw, spell, where, allowed in self._by_strength(rows, mistakes):
            read = read_values(raw, spell, where, allowed, mistakes, self._references)
            for name in read.keys() & known.keys():
                setting = known[name]
                read[name] = setting.kind.resolve(read[name], self._directory)
                origins[name] = where + spell(setting)
            values = merge(values, read, rows)
        values.pop(CONFIG.attribute, None)
        for message in missing(values, rows):
            if mistakes is None:
                raise ConfigError(message)
            mistakes.append(message)
        if mistakes:  # whatever is not whole could not be made settings of
            for setting in rows:
                if isinstance(setting.kind, NamedSet):
                    values.pop(setting.attribute, None)
        return values, origins

    def _by_strength(
        self, rows: tuple[Setting, ...], mistakes: list[str] | None
    ) -> Iterator[tuple[Mapping[str, object], Spelling, str, tuple[Setting, ...]]]:
        """What `read_values` is to read of each source, the weakest first."""
        if self._config is not None and self.file is not None:
            from dimserver.config.toml_file import check_type, read_toml

            allowed = (*rows, APP)
            raw = read_toml(self.file, allowed, shown=self._config, origin=self._config_origin, mistakes=mistakes)
            yield raw, FileSpelling(check_type), f"{self._config}:", allowed
        sets = {
            VARIABLES(setting): [VARIABLES.key(row) for row in setting.kind.rows]
            for setting in rows
            if isinstance(setting.kind, NamedSet)
        }
        others = {VARIABLES(setting) for setting in (*rows, APP, CONFIG)}
        yield split_variables(self._environ, sets, others), VARIABLES, PREFIX, (*rows, APP, CONFIG)
        yield self._line, LINE, "", (*rows, APP, CONFIG)


def check_file(path: str, directory: str | None = None, mistakes: list[str] | None = None) -> Loaded:
    """Read a file as `dimserver run --config` would, with no other source; for `dimserver config --check`.

    What the file refers to is looked up, in the environment of this process too.

    Args:
        path, directory: of the file; as for `Sources`.
        mistakes: as for `Sources.load`.

    Raises:
        ConfigError: as for `Sources.load`.
    """
    sources = Sources({CONFIG.option: path}, {}, directory, os.environ)
    sources._config_origin = "--check"
    return sources.load(mistakes)


def _current_directory() -> str:
    try:
        return os.getcwd()
    except OSError as error:
        raise ConfigError(f"the current directory cannot be used: {error.strerror}") from None


def _variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Ours, without their prefix."""
    return {
        name.removeprefix(PREFIX): value
        for name, value in environ.items()
        if name.startswith(PREFIX) and not _is_service_link(name.removeprefix(PREFIX), value)
    }


def _is_service_link(name: str, value: str) -> bool:
    """Whether Kubernetes set the variable, as it does in every pod next to a service named "dimserver".

    Those are SERVICE_HOST, SERVICE_PORT[_NAME], PORT=tcp://…, and PORT_<number>_<protocol>[_PROTO|_PORT|_ADDR]
    (Kubernetes documentation, "Environment variables" of services).
    """
    words = name.split("_")
    if words[0] == "SERVICE":
        return words[1:] == ["HOST"] or words[1:2] == ["PORT"]
    if words == ["PORT"]:
        return value.startswith(("tcp://", "udp://", "sctp://"))
    return (
        words[0] == "PORT"
        and len(words) in (3, 4)
        and words[1].isdigit()
        and words[2] in ("TCP", "UDP", "SCTP")
        and words[3:] in ([], ["PROTO"], ["PORT"], ["ADDR"])
    )
