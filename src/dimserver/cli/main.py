"""The command line: `dimserver run | reload | status | routes | config`.

The options of `run` are the rows of `config.SETTINGS`; argparse splits the
words and writes the help, the settings table reads the values, so that a bad
one is reported in the same words whichever source it came from.

Start-up time counts here: only the parser of the command that is wanted is
built, and what a command needs is imported when it runs.
"""

from __future__ import annotations

import argparse
import io
import os
import sys

from dimserver.cli.parser import Parser, columns, terminal_width
from dimserver.config import SETTINGS, check_admin, check_paths, did_you_mean
from dimserver.config.sources import APP, CONFIG, Sources, check_file
from dimserver.config.tables import TableKind
from dimserver.config.types import Flag
from dimserver.errors import AppImportError, AppStartError, ConfigError, DimserverError
from dimserver.nowait import put_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

__all__ = ["main"]

PATIENCE = 1.0  # seconds for a reader of standard error that is slow
FIXED_TEXT = "Reload: stays as it is; a change needs a restart"
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it

USAGE = """\
usage: dimserver run [APP] [options]    serve APP; without one the built-in API and static files
       dimserver reload                 have a running server take up new code and configuration, and wait for it
       dimserver status [--json]        show how a running server is: exit 0 well, 1 not well, 3 no server
       dimserver routes APP             print the route table of APP
       dimserver config                 print every setting with type, unit, default and reason
       dimserver config --check FILE    check a TOML file of settings
       dimserver --version

APP is module[:attribute] or path/file.py[:attribute]; the attribute is `app` unless given.
`dimserver run --help` lists the options; each is a variable (DIMSERVER_PORT) and a key of a TOML file, too.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the words after the program's name; those of the process when None.

    Returns:
        The exit code: 0, 1 for what the system or the app refused, 2 for wrong
        usage, 3 where no server runs, 130 when interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    _open_standard_streams()
    _escape_stdout()
    try:
        code = _dispatch(words)
        sys.stdout.flush()
        return code
    except (AppImportError, AppStartError) as error:
        _print_traceback(error.__cause__)
        return _fail(error)
    except DimserverError as error:
        return _fail(error)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # `dimserver config | head`: the reader has seen enough.  The interpreter flushes stdout once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0


def _open_standard_streams() -> None:
    # A parent may have closed them.  The next descriptor opened would take the number: messages for
    # standard error would go to a client.
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for the life of the process
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115


def _escape_stdout() -> None:
    # The name of a file or a handler may hold what the terminal's encoding has not.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(USAGE)
        return 0 if words else 2
    if words[0] in ("-V", "--version"):
        sys.stdout.write(f"dimserver {_version()}\n")
        return 0
    command = COMMANDS.get(words[0])
    if command is None:
        raise ConfigError(_unknown_command(words[0]))
    return int(command(words[1:]))


def _unknown_command(word: str) -> str:
    if word.startswith("-"):
        return f"'{word}' before a command; write: dimserver run {word} …"
    if ":" in word or "." in word or "/" in word:
        return f"unknown command '{word}'; did you mean 'dimserver run {word}'?"
    return f"unknown command '{word}'{did_you_mean(word, COMMANDS) or '; allowed: ' + ', '.join(COMMANDS)}"


def _fail(error: DimserverError) -> int:
    sys.stdout.flush()
    # One line whatever the words in it: a newline in a file's name must not fake a second message.
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(error))
    put_line(sys.stderr, f"dimserver: {text}\n", PATIENCE)
    return error.exit_code


def _print_traceback(error: BaseException | None) -> None:
    from traceback import format_exception

    if error is not None:
        put_line(sys.stderr, "".join(format_exception(error)), PATIENCE)


def _version() -> str:
    from dimserver import __version__

    return str(__version__)


# run


def _run(words: list[str]) -> int:
    parser = Parser("run", "run [APP] [options]", "Serve APP, or the built-in API and static files.")
    parser.add_argument(
        "app",
        nargs="?",
        metavar="APP",
        default=argparse.SUPPRESS,
        help="module[:attribute] or path/file.py[:attribute]",
    )
    parser.add_argument("--config", metavar="FILE", default=argparse.SUPPRESS, help=CONFIG.what)
    _add_settings(parser)
    given = {f"--{name}": value for name, value in vars(parser.parse(words)).items()}
    if "--app" in given:
        given["APP"] = given.pop("--app")
    sources = Sources(given, os.environ)
    _check_platform()

    def read() -> tuple[str, dict[str, object]]:
        # Called at the start and at each reload.
        now = sources.load()
        check_paths(now.settings, now.origins)
        return now.app or "", now.values

    from dimserver.supervisor.supervisor import supervise

    return int(supervise(read, [] if sources.file is None else [sources.file]))


def _add_settings(parser: Parser) -> None:
    groups: dict[str, Any] = {}
    for setting in SETTINGS:
        group = groups.get(setting.group) or groups.setdefault(setting.group, parser.add_argument_group(setting.group))
        options: dict[str, Any] = {
            # SUPPRESS: what was not written is not there, and a weaker source may give it.
            "default": argparse.SUPPRESS,
            "dest": setting.name,
            "help": f"{setting.what} Default: {setting.show_default()}.".replace("%", "%%"),
        }
        if isinstance(setting.kind, Flag):
            group.add_argument(setting.option, action=argparse.BooleanOptionalAction, **options)
        elif isinstance(setting.kind, TableKind):
            options["help"] = f"{setting.what} Written '{setting.kind.entry()}'; once for each.".replace("%", "%%")
            group.add_argument(setting.option, metavar=setting.kind.metavar, action="append", **options)
        else:
            group.add_argument(setting.option, metavar=setting.kind.metavar, **options)


def _check_platform() -> None:
    if not sys.platform.startswith(("linux", "darwin")):
        raise DimserverError(f"this platform ({sys.platform}) is not supported yet; Linux and macOS are")


# commands to a server that runs


def _reload(words: list[str]) -> int:
    from dimserver.cli.reload import reload

    return reload(words)


def _status(words: list[str]) -> int:
    from dimserver.cli.status import status

    return status(words)


# routes


def _routes(words: list[str]) -> int:
    from dimserver.worker.loader import load_app

    parser = Parser("routes", "routes APP", "Print the route table of APP.")
    parser.add_argument("app", metavar="APP", help="module[:attribute] or path/file.py[:attribute]")
    parser.add_argument("--factory", action="store_true", help="APP names a callable that makes the app")
    given = parser.parse(words)
    target: str = given.app
    rows = [("METHOD", "PATTERN", "MATCH", "RUNS ON", "HANDLER")]
    for method, pattern, exact, blocking, handler in load_app(target, factory=given.factory).routes():
        match = "prefix" if not exact else "segments" if "{" in pattern else "exact"
        on_thread = blocking or getattr(handler, "interface", None) == "wsgi"
        rows.append((method, pattern, match, "thread" if on_thread else "loop", _describe(handler)))
    if len(rows) == 1:
        sys.stdout.write(f"'{target}' has no routes\n")
    else:
        sys.stdout.writelines(columns(rows))
    return 0


def _describe(handler: Any) -> str:
    from dimserver.gateway.contract import is_gateway
    from dimserver.gateway.detect import describe

    if is_gateway(handler):
        return f"{describe(handler.app)}, {handler.interface}"
    name = f"{getattr(handler, '__module__', '?')}.{getattr(handler, '__qualname__', type(handler).__qualname__)}"
    code = getattr(handler, "__code__", None) or getattr(getattr(handler, "__func__", None), "__code__", None)
    return name if code is None else f"{name} ({os.path.relpath(code.co_filename)}:{code.co_firstlineno})"


# config


def _config(words: list[str]) -> int:
    parser = Parser("config", "config [--check FILE]", "Print every setting, or check a TOML file of settings.")
    parser.add_argument("--check", metavar="FILE", help="exit 0 if `dimserver run --config FILE` would take it, else 2")
    file: str | None = parser.parse(words).check
    if file is None:
        sys.stdout.writelines(_describe_settings())
        return 0
    if not file:
        raise ConfigError(f"--check: '' is not allowed; allowed: {CONFIG.kind.allowed()}")
    mistakes: list[str] = []
    loaded = check_file(file, mistakes=mistakes)
    settings = loaded.settings
    for check, part in (
        (check_paths, settings.replace(spool_dir=None)),
        (check_paths, settings.replace(static=None)),
        (check_admin, settings),
    ):
        try:
            check(part, loaded.origins)
        except ConfigError as error:
            mistakes.append(str(error))
    if mistakes:
        for mistake in mistakes[:-1]:
            _fail(ConfigError(mistake))
        raise ConfigError(mistakes[-1])
    count = len(loaded.values)
    sys.stdout.write(f"{file}: {count} setting{'s' if count != 1 else ''}, all of them right\n")
    return 0


def _describe_settings() -> list[str]:
    import textwrap

    rows = (*SETTINGS, APP, CONFIG)
    heads = [("APP" if s is APP else s.option, s.kind.type, s.kind.unit or "-", s.show_default()) for s in rows]
    lines = columns([("SETTING", "TYPE", "UNIT", "DEFAULT"), *heads])
    width = max(60, min(terminal_width(), 100)) - 6
    out = [lines[0]]
    group = ""
    for setting, line in zip(rows, lines[1:], strict=True):
        if setting.group != group:
            group = setting.group
            out.append(f"\n{group}\n")
        out.append(line)
        names = f"variable {setting.variable}" + (f", key {setting.name}" if setting is not CONFIG else "")
        texts = [setting.what, f"Allowed: {setting.kind.allowed()}", f"Why: {setting.reason}", f"Also: {names}"]
        if setting.fixed:
            texts.insert(3, FIXED_TEXT)
        for text in texts:
            wrapped = textwrap.wrap(text, width, break_on_hyphens=False, break_long_words=False)
            out.extend(f"      {part}\n" for part in wrapped)
        if isinstance(setting.kind, TableKind):
            out.extend(_describe_rows(setting.kind, width))
    return out


def _describe_rows(kind: TableKind, width: int) -> Iterator[str]:
    """The keys of a table, indented below the setting."""
    import textwrap

    yield f"      Entry: {kind.entry()}\n"
    for row in kind.rows:
        default = "required" if row.required else f"default {row.show_default()}"
        unit = f" in {row.kind.unit}" if row.kind.unit else ""
        yield f"        {row.name}: {row.kind.type}{unit}, {default}\n"
        for text in (row.what, f"Allowed: {row.kind.allowed()}", f"Why: {row.reason}"):
            wrapped = textwrap.wrap(text, width - 6, break_on_hyphens=False, break_long_words=False)
            yield from (f"            {part}\n" for part in wrapped)


COMMANDS = {"run": _run, "reload": _reload, "status": _status, "routes": _routes, "config": _config}
