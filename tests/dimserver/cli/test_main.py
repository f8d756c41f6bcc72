"""The command line: one line for a mistake, the right exit code, never a traceback of our own."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import dimserver
from dimserver import App
from dimserver.cli import main as cli
from dimserver.config import SETTINGS, Settings
from dimserver.config.types import Flag
from dimserver.errors import StartError


def make_app() -> App:
    app = App()
    app.route("/", test_version)
    app.route("/users/{id}", test_the_same_in_a_process, blocking=True)
    app.route("/files/", print, methods="POST", exact=False)
    return app


async def make_later() -> App:
    return App()


def make_nothing() -> App:
    raise RuntimeError("no config")


Served = list[tuple[str, Settings]]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Iterator[Served]:
    """Calls of the supervisor, which is replaced; the module app_for_cli can be imported."""
    calls: Served = []

    def supervise(read: Callable[[], tuple[str, dict[str, object]]], files: list[str]) -> int:
        target, values = read()
        calls.append((target, Settings(**values)))
        return 0

    supervisor = types.ModuleType("dimserver.supervisor.supervisor")
    supervisor.supervise = supervise  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "dimserver.supervisor.supervisor", supervisor)
    holder = types.ModuleType("app_for_cli")
    vars(holder).update(
        app=make_app(), Site=App, wsgi=lambda environ, start: [], text="no app", empty=App(),
        make=make_app, later=make_later, fails=make_nothing,
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "app_for_cli", holder)
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    yield calls
    sys.path[:] = path


def environment(**more: str) -> dict[str, str]:
    """The variables for a child process, which may run in another directory."""
    variables = {**os.environ, "COLUMNS": "80", **more}
    if "PYTHONPATH" in variables:
        root = pathlib.Path(cli.__file__).parents[2]
        variables["PYTHONPATH"] = os.pathsep.join([str(root), variables["PYTHONPATH"]])
    return variables


def run(*words: str, cwd: pathlib.Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dimserver", *words],
        capture_output=True, text=True, cwd=cwd, env=environment(), timeout=30, check=False,
    )  # fmt: skip


MISTAKES: list[tuple[list[str], str]] = [
    (["rnu"], "unknown command 'rnu'; did you mean 'run'?"),
    (["zzz"], "unknown command 'zzz'; allowed: run, reload, status, routes, config"),
    (["shop:app"], "unknown command 'shop:app'; did you mean 'dimserver run shop:app'?"),
    (["--port", "1"], "'--port' before a command; write: dimserver run --port"),
    (["run", "--prot", "80"], "unknown option '--prot'; did you mean '--port'?"),
    (["run", "-port", "80"], "unknown option '-port'; did you mean '--port'?"),
    (["run", "--bind", ":80"], "unknown option '--bind'; use --host and --port"),
    (["run", "--ssl-keyfile", "k"], "unknown option '--ssl-keyfile'; dimserver speaks plain HTTP: let a proxy"),
    (["run", "shop", "-w", "4"], "unknown option '-w'; use --workers"),
    (["run", "--forwarded_allow_ips=*"], "unknown option '--forwarded_allow_ips'; use --trusted-proxies"),
    (["run", "--max-conn", "4"], "unknown option '--max-conn'; did you mean '--max-connections'?"),
    (["run", "--frobnicate"], "unknown option '--frobnicate'; see dimserver run --help"),
    (["run", "--trusted-proxies", "*"], "--trusted-proxies: '*' is not allowed; allowed: addresses and networks"),
    (["run", "--limit-body", "5MB"], "--limit-body: '5MB' is not allowed; allowed: 0 B to 1024 GiB (a number of "),
    (["run", "--prot=80"], "unknown option '--prot'; did you mean '--port'?"),
    (["run", "--max-conn", "80"], "unknown option '--max-conn'"),
    (["run", "-x"], "unknown option '-x'; see dimserver run --help"),
    (["run", "shop:app", "more"], "unexpected argument 'more'; see dimserver run --help"),
    (["run", "--port"], "--port: expected one argument; see dimserver run --help"),
    (["run", "--api=yes"], "--api/--no-api: ignored explicit argument 'yes'; see dimserver run --help"),
    (["run", "--port", "99999"], "--port: '99999' is not allowed; allowed: a whole number from 0 to 65535"),
    (["run", "--port", "-1"], "--port: '-1' is not allowed"),
    (["run", "--host", "a b"], "--host: 'a b' is not allowed; allowed: a host name or an IP address"),
    (["run", "--timeout", "nan"], "--timeout: 'nan' is not allowed; allowed: 10 ms to 86400 s"),
    (["run", "--limit-body", "-5"], "--limit-body: '-5' is not allowed"),
    (["run", "--workers", "x"], "--workers: 'x' is not allowed; allowed: a whole number from 1 to 512, or auto"),
    (["run", "--interface", "cgi"], "--interface: 'cgi' is not allowed; allowed: auto, native, wsgi, asgi"),
    (["run", "--access-log", "on"], "--access-log: 'on' is not allowed; allowed: off, common, combined, json"),
    (["run", "--admin", "9000"], "--admin: '9000' is not allowed; allowed: HOST:PORT"),
    (
        ["run", "--uds", "a", "--fd", "3"],
        "--uds and --fd exclude each other: a server has one main listener; give one of them",
    ),
    (["run", "--static", "/does/not/exist"], "--static: no such directory: '/does/not/exist'"),
    (["routes", "cli_no_such_module"], "no module named 'cli_no_such_module' in "),
    (["routes", "no/such.py"], "no such file: 'no/such.py'"),
    (["routes", "shop:"], "'shop:' is not an APP; write module:attribute or path/file.py:attribute"),
    (["routes", "os:pth"], "module 'os' has no attribute 'pth'; did you mean 'path'?"),
    (["routes", "two\nlines"], "'two\\nlines': 'two\\nlines' is not the name of a module"),
    (["reload", "--pid", "me"], "--pid: 'me' is no process id"),
    (["reload", "--pid", "0"], "--pid: '0' is no process id"),
    (["reload", "--timeout", "soon"], "--timeout: 'soon' is not allowed; allowed: 10 ms to 86400 s"),
    (["reload", "--admin", "9000"], "--admin: '9000' is not allowed; allowed: HOST:PORT"),
    (["reload", "--wait"], "unknown option '--wait'"),
    (["status", "--pidfile", "x"], "unknown option '--pidfile'"),
    (["status", "--pid", "1", "--admin", "./x"], "--admin: not allowed with argument --pid"),
    (["status", "--admin", "./x", "--api-token-file", "none"], "--api-token-file: No such file or directory: "),
    (["reload", "--pid", "1", "--pidfile", "x"], "--pidfile: not allowed with argument --pid"),
    (["routes"], "the following arguments are required: APP; see dimserver routes --help"),
    (["run", "--config", "nowhere.toml"], "--config: no such file: 'nowhere.toml'"),
    (["run", "--config"], "--config: expected one argument; see dimserver run --help"),
    (["run", ""], "APP: '' is not allowed"),
    (["config", "x"], "unexpected argument 'x'; see dimserver config --help"),
]


@pytest.mark.parametrize(
    ("words", "message"), MISTAKES, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_a_mistake_is_one_line_and_exit_2(
    words: list[str], message: str, served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"dimserver: {message}")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert not served


@pytest.mark.parametrize(
    "words", [["run", "--port", "x"], ["run", "cli_no_such_module"], ["nonsense"], ["run", "no.py"]]
)
def test_the_same_in_a_process(words: list[str], tmp_path: pathlib.Path) -> None:
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("dimserver: ")
    assert done.stderr.count("\n") == 1


def test_an_exception_in_the_users_module_is_shown_whole(tmp_path: pathlib.Path) -> None:
    (tmp_path / "cli_broken.py").write_text("import cli_broken_inside\n")
    (tmp_path / "cli_broken_inside.py").write_text("def f():\n    {}['key']\n\nf()\n")
    for target in ("cli_broken", "cli_broken.py", "./cli_broken.py:app"):
        done = run("run", target, cwd=tmp_path)
        lines = done.stderr.splitlines()
        assert done.returncode == 1
        assert lines[0] == "Traceback (most recent call last):"
        assert lines[1].endswith('cli_broken.py", line 1, in <module>')
        assert lines[-2] == "KeyError: 'key'"
        assert lines[-1].startswith("dimserver: '")
        assert lines[-1].endswith("raised KeyError while it was loaded")
        assert "importlib" not in done.stderr
        assert f"{os.sep}dimserver{os.sep}" not in done.stderr


def test_version(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dimserver, "__version__", "9.8.7", raising=False)
    for word in ("--version", "-V"):
        assert cli.main([word]) == 0
        assert capsys.readouterr().out == "dimserver 9.8.7\n"


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    overview = capsys.readouterr().out
    assert all(f"dimserver {command}" in overview for command in cli.COMMANDS)
    assert cli.main([]) == 2
    assert capsys.readouterr().out == overview


def test_help_of_run_lists_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", "--help"])
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for setting in SETTINGS:
        assert setting.option in text
        assert setting.what in text
    assert "--no-api" in text
    assert "Default: 16 MiB." in text


def test_config_shows_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["config"]) == 0
    out = capsys.readouterr().out
    assert max(len(line) for line in out.splitlines()) <= 100
    flat = " ".join(out.split())
    for setting in SETTINGS:
        assert f"{setting.option} {setting.kind.type} {setting.kind.unit or '-'} {setting.show_default()}" in flat
        assert f"Why: {setting.reason}" in flat
        assert f"Allowed: {setting.kind.allowed()}" in flat
        assert f"Also: variable {setting.variable}, key {setting.name}" in flat
        fixed = f"Why: {setting.reason} Reload: stays as it is; a change needs a restart Also: variable"
        assert (f"{fixed} {setting.variable}," in flat) == setting.fixed
    assert "Also: variable DIMSERVER_APP, key app" in flat
    assert flat.endswith("Also: variable DIMSERVER_CONFIG")


def test_a_reader_that_leaves_early_is_no_error() -> None:
    words = f"'{sys.executable}' -m dimserver config | head -1 >/dev/null; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", words], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "0\n"
    assert done.stderr == ""


def test_run_serves(served: Served) -> None:
    assert cli.main(["run"]) == 0
    assert served.pop() == ("", Settings())
    words = ["run", "app_for_cli", "--port", "0", "--timeout=5m", "--api", "--admin", "/run/admin.sock"]
    assert cli.main([*words, "--threads", "4", "--workers", "auto"]) == 0
    settings = Settings(port=0, timeout=300, api=True, admin="/run/admin.sock", threads=4, workers=0)
    assert served.pop() == ("app_for_cli", settings)
    assert cli.main(["run", "--api", "--no-api", "app_for_cli:server", "--port", "1", "--port", "2"]) == 0
    assert served.pop() == ("app_for_cli:server", Settings(port=2))


def test_every_setting_is_an_option(served: Served, other: dict[str, str]) -> None:
    for setting in SETTINGS:
        if setting.name not in other:
            continue
        words = [setting.option] if isinstance(setting.kind, Flag) else [setting.option, other[setting.name]]
        assert cli.main(["run", *words]) == 0, setting.name
        settings = served.pop()[1]
        changed = [s.name for s in SETTINGS if getattr(settings, s.attribute) != s.default]
        assert changed == [setting.name]


def test_the_environment_and_a_file_are_read(
    served: Served, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "site.toml").write_text('app = "app_for_cli:eight"\nport = 1\nthreads = 1\ndrain = "1m"\n')
    monkeypatch.setenv("DIMSERVER_THREADS", "2")
    monkeypatch.setenv("DIMSERVER_CONFIG", "nowhere.toml")
    assert cli.main(["run", "--config", "site.toml", "--drain", "3"]) == 0
    assert served.pop() == ("app_for_cli:eight", Settings(port=1, threads=2, drain=3))
    assert cli.main(["run", "app_for_cli:nowhere", "--config=site.toml", "--static", "."]) == 0
    assert served.pop()[0] == "app_for_cli:nowhere"
    assert cli.main(["run"]) == 2
    assert capsys.readouterr().err == "dimserver: DIMSERVER_CONFIG: no such file: 'nowhere.toml'\n"
    monkeypatch.setenv("DIMSERVER_CONFIG", "")
    monkeypatch.setenv("DIMSERVER_STATIC", "none")
    assert cli.main(["run"]) == 2
    assert capsys.readouterr().err == f"dimserver: DIMSERVER_STATIC: no such directory: '{tmp_path}/none'\n"
    assert not served


def test_config_checks_a_file(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIMSERVER_PORT", "nonsense")  # not asked
    for text, count in (
        ("", "0 settings"),
        ("port = 1", "1 setting"),
        ('app = "x"\nport = 1\napi = true', "2 settings"),
    ):
        (tmp_path / "site.toml").write_text(text)
        assert cli.main(["config", "--check", "site.toml"]) == 0
        assert capsys.readouterr() == (f"site.toml: {count}, all of them right\n", "")
    for text, message in (
        ("port = \n", "site.toml:1:8: Invalid value\n"),
        ("prot = 1", "unknown setting 'site.toml:prot'; did you mean 'port'?\n"),
        ("port = 70000", "site.toml:port: 70000 is not allowed; allowed: a whole number from 0 to 65535"),
        ('static = "none"', f"site.toml:static: no such directory: '{tmp_path}/none'\n"),
    ):
        (tmp_path / "site.toml").write_text(text)
        assert cli.main(["config", "--check", "site.toml"]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith(f"dimserver: {message}")
        assert err.count("\n") == 1
    assert cli.main(["config", "--check", "nowhere.toml"]) == 2
    assert capsys.readouterr().err == "dimserver: --check: no such file: 'nowhere.toml'\n"
    assert cli.main(["config", "--check", ""]) == 2
    assert capsys.readouterr().err == "dimserver: --check: '' is not allowed; allowed: a path\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["app_for_cli:Site"],
            "'app_for_cli:Site': the class dimserver.app.App is not an app; name an instance of it, or use --factory if\
 calling it returns the app",
        ),
        (
            ["app_for_cli:make"],
            "'app_for_cli:make': the function {here}.make_app takes no arguments; if it returns the app, use\
 --factory",
        ),
        (["app_for_cli:text"], "'app_for_cli:text': a str is not an app: it cannot be called"),
        (
            ["app_for_cli:text", "--factory"],
            "'app_for_cli:text' is a str, which is not a factory: it cannot be called",
        ),
        (
            ["app_for_cli:wsgi", "--factory"],
            "'app_for_cli:wsgi' is the function {here}.served.<locals>.<lambda>, which is not a factory: it cannot be\
 called without arguments",
        ),
        (
            ["app_for_cli:later", "--factory"],
            "'app_for_cli:later' is the function {here}.make_later, which is async; a factory must not be",
        ),
    ],
)  # fmt: skip
def test_something_else_than_an_app(
    words: list[str], message: str, served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["routes", *words]) == 2
    assert capsys.readouterr().err == f"dimserver: {message.format(here=__name__)}\n"


def test_a_factory(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["routes", "app_for_cli:make", "--factory"]) == 0
    assert "/users/{id}" in capsys.readouterr().out
    assert cli.main(["routes", "app_for_cli:fails", "--factory"]) == 1
    err = capsys.readouterr().err
    assert "RuntimeError: no config" in err
    assert "loader.py" not in err
    assert err.endswith("dimserver: 'app_for_cli:fails' raised RuntimeError while it was loaded\n")


def failing(error: BaseException) -> Callable[..., int]:
    def serve(*args: Any) -> int:
        raise error

    return serve


def test_what_the_system_refuses_is_exit_1(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    supervisor = sys.modules["dimserver.supervisor.supervisor"]
    monkeypatch.setattr(
        supervisor, "supervise", failing(StartError("cannot listen on 127.0.0.1:80: permission denied"))
    )
    assert cli.main(["run"]) == 1
    assert capsys.readouterr().err == "dimserver: cannot listen on 127.0.0.1:80: permission denied\n"
    monkeypatch.setattr(supervisor, "supervise", failing(KeyboardInterrupt()))
    assert cli.main(["run"]) == 130
    monkeypatch.setattr(supervisor, "supervise", lambda *args: 3)
    assert cli.main(["run"]) == 3


def test_a_platform_without_support(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert cli.main(["run"]) == 1
    assert capsys.readouterr().err == "dimserver: this platform (win32) is not supported yet; Linux and macOS are\n"


def test_routes(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["routes", "app_for_cli"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["METHOD", "PATTERN", "MATCH", "RUNS", "ON", "HANDLER"]
    assert [row.split()[:4] for row in rows] == [
        ["GET", "/", "exact", "loop"],
        ["GET", "/users/{id}", "segments", "thread"],
        ["POST", "/files/", "prefix", "loop"],
    ]
    assert "test_version (" in rows[0]
    assert "test_main.py:" in rows[1]
    assert rows[2].endswith("builtins.print")
    column = head.index("HANDLER")
    assert all(row[column - 1] == " " and row[column] != " " for row in rows)
    assert cli.main(["routes", "app_for_cli:empty"]) == 0
    assert capsys.readouterr().out == "'app_for_cli:empty' has no routes\n"


def test_a_name_the_terminal_cannot_write(served: Served, tmp_path: pathlib.Path) -> None:
    variables = environment(PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    done = subprocess.run(
        [sys.executable, "-m", "dimserver", "run", "größe"],
        capture_output=True,
        env=variables,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(b"dimserver: no module named 'gr\\xf6\\xdfe'")


def test_a_usage_error_costs_no_heavy_import() -> None:
    # Nothing of argparse's own start may bring in `shutil` and the archive formats behind it.
    script = (
        "import sys; before = set(sys.modules)\n"
        "from dimserver.cli import main; main.main(['run', '--port', 'x'])\n"
        "print(*(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    heavy = {
        "shutil",
        "bz2",
        "lzma",
        "asyncio",
        "dataclasses",
        "difflib",
        "email",
        "importlib.metadata",
        "inspect",
        "ssl",
    }
    assert not heavy & set(done.stdout.split())


def test_config_names_every_mistake(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site.toml").write_text(
        'prot = 1\nport = "x"\nlimit-body = "5MB"\nssl-keyfile = "k"\nuds = "s"\nfd = 3\n'
        'static = "nowhere"\nspool-dir = "nowhere"\n[table]\nx = 1\n'
    )
    assert cli.main(["config", "--check", "site.toml"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 8
    for part in ("'site.toml:prot'", "site.toml:port:", "'5MB'", "ssl-keyfile", "uds and site.toml:fd exclude",
                 "site.toml:static: no such", "site.toml:spool-dir: no such", "unknown table 'table'"):  # fmt: skip
        assert sum(part in line for line in lines) == 1, part
    assert all(line.startswith("dimserver: ") for line in lines)


def test_config_names_every_mistake_of_every_table(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site.toml").write_text(
        'port = "env:NOT_SET"\n[[route]]\npattern = "/a"\nlimit-body = "5MB"\nstrem = true\n[[route]]\nstream = true\n'
    )
    assert cli.main(["config", "--check", "site.toml"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" is ")[0] for line in lines] == [
        "dimserver: site.toml:port: 'env:NOT_SET': the variable NOT_SET",
        "dimserver: site.toml:[[route]] 1: limit-body: '5MB'",
        "dimserver: site.toml:[[route]] 1: unknown key 'strem'; did you mean 'stream'?",
        "dimserver: site.toml:[[route]] 2: 'pattern'",
    ]
    (tmp_path / "site.toml").write_text('[[route]]\npattern = "/a"\n[[route]]\npattern = "/b/*"\nlimit-body = "1k"\n')
    assert cli.main(["config", "--check", "site.toml"]) == 0
    assert capsys.readouterr().out == "site.toml: 1 setting, all of them right\n"


def test_an_option_is_repeated_for_each_table(served: Served) -> None:
    assert cli.main(["run", "--route", "/a limit-body=1k", "--route=/b stream method=POST"]) == 0
    assert served.pop() == ("", Settings(route=["/a limit-body=1k", "/b stream method=POST"]))
