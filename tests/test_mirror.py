"""Each module of the sources has its tests under the same name, and each test module tests one that exists."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "src"
TESTS = ROOT / "tests"

# Modules without tests of their own, each with the reason.
UNTESTED = {
    "dimcore/reports": "names and texts; conn/test_host looks at them",
    "dimcore/forked": "ends the process; dimserver/test_forks looks at how",
    "dimserver/net/forks": "what forked children give up; dimserver/test_forks looks at all of it",
    "dimserver/handlers/status/types": "types alone, which the type checker checks",
    "dimserver/__main__": "three lines; every test that starts a server runs them",
    "dimserver/version": "one line, which tests/test_version compares with what is installed",
    "dimserver/config/limits": "rows of the table, each looked at in test_settings",
    "dimserver/config/operations": "rows of the table, each looked at in test_settings",
    "dimserver/config/keywords": "types alone, written and compared by config/write_keywords",
    "dimserver/config/serving": "rows of the table, each looked at in test_settings",
}

# Tests of more than one module.
WHOLE = {
    "dimcore/test_bare": "every class of the core, made without its constructor",
    "dimcore/test_reentry": "Python code that every part of the core calls, and that calls back",
    "dimserver/test_configured": "settings from every source, from the start of a process to what it serves",
    "dimserver/test_control": "commands to servers that run, as a user types them",
    "dimserver/test_documents": "the programs in README.md and docs, served as they stand there",
    "dimserver/test_public_names": "what the package exports, in a program with types that names all of it",
    "dimserver/test_forks": "processes and programs that an app starts",
    "dimserver/test_end_to_end": "the command line, the sockets and the signals together",
    "dimserver/gateway/test_asgi_answers": "what an app sends, from its `send` to the wire",
    "dimserver/gateway/test_asgi_faults": "every way an app can fail, and what its client sees",
    "dimserver/gateway/test_asgi_leaving": "clients that leave, and what the log says of it",
    "dimserver/gateway/test_asgi_requests": "what an app receives, from the wire to its `receive`",
    "dimserver/gateway/test_asgi_frameworks": "Starlette, FastAPI and Socket.IO as they are, with real clients",
    "dimserver/gateway/test_asgi_threads": "what an app sends and receives away from the loop",
    "dimserver/gateway/test_asgi_websocket": "the websocket scope from the client to the app and back",
    "dimserver/test_async": "async handlers from the socket to the answer, on each asyncio loop",
    "dimserver/test_budgets": "hostile clients of every kind beside honest ones, from the command line to the figures",
    "dimserver/test_local": "who is taken for the operator, directly and through real proxies",
    "dimserver/test_mounts": "apps of all interfaces in one server, from the command line to the wire",
    "dimserver/test_operations": "several processes, and what an operator sees of them and does to them",
    "dimserver/test_paths": "one rule for every spelling of a path, whoever answers",
    "dimserver/test_proxies": "real proxies, the header they send, and what is seen of their clients",
    "dimserver/test_reconfigured": "a file of settings that changes under a running server, over SIGHUP",
    "dimserver/test_header_settings": "`[[header]]`, in a server of its own processes",
    "dimserver/test_route_settings": "options of routes from every source, from the start of a process to the wire",
    "dimserver/test_reload": "supervisor, workers and clients together",
    "dimserver/test_websocket": "WebSockets from the decorator to another implementation's client",
    "dimserver/test_topics": "topics from the decorator to other implementations' clients, in one worker and several",
    "dimserver/test_wsgi_sockets": "WSGI apps with sockets of their own, from real libraries and clients to their stop",
    "dimserver/test_wsgi_apps": "WSGI apps from the socket to the app and back, on the loop and on threads",
    "dimserver/test_topics_workers": "topics over several processes, through crashes and reloads",
    "dimserver/test_seed": "every example of the document the project started from, and its server as a program",
    "dimserver/test_stop": "a stop from the signal to what a user, an app and its clients see",
    "dimserver/test_vanished": "directories taken away under a running server",
    "dimserver/test_streaming": "bodies in and out, from the socket to the handler and back",
}


def modules(package: str) -> set[str]:
    """`dimserver/net/loop` and so on; a .pxd alone is a set of constants or inline functions of those that use it."""
    root = SOURCES / package
    return {
        path.relative_to(SOURCES).with_suffix("").as_posix()
        for path in root.rglob("*")
        if path.suffix in (".py", ".pyx") and path.name != "__init__.py"
    }


def written(package: str) -> set[str]:
    return {path.relative_to(TESTS).with_suffix("").as_posix() for path in (TESTS / package).rglob("test_*.py")}


def mirrored(module: str) -> str:
    directory, _, name = module.rpartition("/")
    return f"{directory}/test_{name}"


@pytest.mark.parametrize("package", ["dimcore", "dimserver"])
def test_every_module_has_its_tests(package: str) -> None:
    expected = {mirrored(module) for module in modules(package) - UNTESTED.keys()}
    assert sorted(expected - written(package)) == []


@pytest.mark.parametrize("package", ["dimcore", "dimserver"])
def test_every_test_has_its_module(package: str) -> None:
    expected = {mirrored(module) for module in modules(package)}
    assert sorted(written(package) - expected - WHOLE.keys()) == []


def test_tests_of_the_benchmarks_have_their_module() -> None:
    for path in (TESTS / "bench").rglob("test_*.py"):
        tested = path.relative_to(TESTS).parent / path.name.removeprefix("test_")
        assert (ROOT / tested).exists(), tested


def test_every_exception_is_needed() -> None:
    assert modules("dimserver") | modules("dimcore") >= UNTESTED.keys()
    assert written("dimserver") | written("dimcore") >= WHOLE.keys()
    assert not {mirrored(module) for module in UNTESTED} & (written("dimserver") | written("dimcore"))


def test_no_two_test_modules_hide_each_other() -> None:
    """Test directories are no packages: pytest imports each file by its path."""
    assert not list(TESTS.rglob("__init__.py"))
