"""Loading APP: what is found, and whose fault it is when it is not."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from dimserver.errors import AppImportError, LoadError
from dimserver.worker.loader import how_to_load, load_app, load_object, split_target


@pytest.fixture
def here(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pathlib.Path]:
    """An empty current directory; modules and path entries of the test are gone afterwards."""
    modules, path = dict(sys.modules), list(sys.path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    for name in set(sys.modules) - set(modules):
        del sys.modules[name]
    sys.modules.update(modules)
    sys.path[:] = path
    sys.path_importer_cache.pop(str(tmp_path), None)


def write(path: pathlib.Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        ("shop", ("shop", "app")),
        ("shop:server", ("shop", "server")),
        ("shop.web:site.app", ("shop.web", "site.app")),
        ("shop.py", ("shop.py", "app")),
        ("./a/shop.py:x", ("./a/shop.py", "x")),
        ("a:b/shop.py", ("a:b/shop.py", "app")),
        ("a:b/shop.py:x", ("a:b/shop.py", "x")),
    ],
)
def test_split(target: str, parts: tuple[str, str]) -> None:
    assert split_target(target) == parts


@pytest.mark.parametrize(
    "target", ["", ":", ":app", "shop:", "shop:1x", "shop:a b", "1shop", "a-b", ".shop", "a..b", "a\0b"]
)
def test_split_refuses(target: str) -> None:
    with pytest.raises(LoadError) as caught:
        split_target(target)
    assert target in str(caught.value)


def test_module_in_the_current_directory(here: pathlib.Path) -> None:
    write(here / "loader_shop.py", "app = 'the app'\nclass site:\n    app = 'nested'\n")
    assert load_object("loader_shop") == "the app"
    assert load_object("loader_shop:app") == "the app"
    assert load_object("loader_shop:site.app") == "nested"


def test_module_in_a_package(here: pathlib.Path) -> None:
    write(here / "loader_pkg/__init__.py", "")
    write(here / "loader_pkg/part.py", "from . import __name__ as parent\napp = parent\n")
    assert load_object("loader_pkg.part") == "loader_pkg"


def test_file_with_its_neighbours(here: pathlib.Path) -> None:
    write(here / "sites/loader_neighbour.py", "value = 'next door'\n")
    write(here / "sites/loader_site.py", "import loader_neighbour\nweb = loader_neighbour.value + ' of ' + __name__\n")
    assert load_object("./sites/loader_site.py:web") == "next door of loader_site"


def test_file_inside_a_package_keeps_its_relative_imports(here: pathlib.Path) -> None:
    write(here / "src/loader_pkg2/__init__.py", "value = 7\n")
    write(here / "src/loader_pkg2/web.py", "from . import value as app\n")
    assert load_object("src/loader_pkg2/web.py") == 7
    assert load_object("src/loader_pkg2/__init__.py:value") == 7


def test_a_file_named_like_a_standard_module_replaces_nothing(here: pathlib.Path) -> None:
    import json

    write(here / "json.py", "app = 'mine'\n")
    write(here / "wave.py", "app = __name__\n")
    assert load_object("./json.py") == "mine"
    assert sys.modules["json"] is json
    assert load_object("wave.py") == "__app_wave__"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("quite_absent", "no module named 'quite_absent' in {here} or on Python's path"),
        ("quite_absent:app", "no module named 'quite_absent' in {here} or on Python's path"),
        ("quite_absent.web", "no module named 'quite_absent' in {here} or on Python's path"),
        ("loader_shap", "no module named 'loader_shap' in {here} or on Python's path; did you mean 'loader_shop'?"),
        ("loader_bag.x", "no module named 'loader_bag' in {here} or on Python's path; did you mean 'loader_bags'?"),
        ("loader_bags.x", "no module named 'loader_bags.x'"),
        ("loader_shop.app", "'loader_shop.app' is not a module; did you mean 'loader_shop:app'?"),
        ("loader_shop.py:ap", "module 'loader_shop' has no attribute 'ap'; did you mean 'app'?"),
        ("loader_shop:ap", "module 'loader_shop' has no attribute 'ap'; did you mean 'app'?"),
        ("loader_shop:zzz", "module 'loader_shop' has no attribute 'zzz'"),
        ("loader_shop:app.uper", "'loader_shop:app.uper': a str has no attribute 'uper'; did you mean 'upper'?"),
        ("loader_shap.py", "no such file: 'loader_shap.py'; did you mean 'loader_shop.py'?"),
        ("nowhere/x.py", "no such file: 'nowhere/x.py'"),
        ("./notes.txt", "not a Python file: './notes.txt'"),
        ("dir.py", "cannot read 'dir.py': Is a directory"),
    ],
)
def test_the_users_typing(here: pathlib.Path, target: str, message: str) -> None:
    write(here / "loader_shop.py", "app = 'the app'\n")
    write(here / "loader_bags/__init__.py", "")
    write(here / "notes.txt", "")
    (here / "dir.py").mkdir()
    with pytest.raises(LoadError) as caught:
        load_object(target)
    assert str(caught.value) == message.format(here=here)


def test_the_only_app_of_a_module_is_suggested(here: pathlib.Path) -> None:
    write(
        here / "loader_one.py",
        "from dimserver import App\nserver = App()\napricot = 1\n"
        "def approve(a, b): ...\nclass Appliance:\n    def __call__(self, environ, start_response): ...\n",
    )
    with pytest.raises(LoadError, match=r"has no attribute 'app'; did you mean 'server'\?"):
        load_object("loader_one")
    write(here / "loader_wsgi.py", "def web(environ, start_response): ...\n")
    write(
        here / "loader_asgi.py",
        "class Site:\n    async def __call__(self, scope, receive, send): ...\nsite = Site()\nprint_ = print\n",
    )
    for name, attribute in (("loader_wsgi", "web"), ("loader_asgi", "site")):
        with pytest.raises(LoadError, match=rf"has no attribute 'app'; did you mean '{attribute}'\?"):
            load_object(name)


def test_an_app_of_another_interface_is_mounted(here: pathlib.Path) -> None:
    write(
        here / "loader_web.py", "def app(environ, start_response): ...\ndef free(*args): ...\ndef make(): return app\n"
    )
    for target, interface, factory in (
        ("loader_web", "auto", False),
        ("loader_web", "wsgi", False),
        ("loader_web:free", "wsgi", False),
        ("loader_web:make", "auto", True),
    ):
        app = load_app(target, interface, factory)
        assert [(method, pattern, exact) for method, pattern, exact, _, _ in app.routes()] == [("*", "/", False)]
        assert app.defaults == {}
    assert how_to_load({"interface": "wsgi", "factory": True, "port": 1}) == ("wsgi", True)
    assert how_to_load({}) == ("auto", False)


@pytest.mark.parametrize(
    ("attribute", "how", "message"),
    [
        ("", ("wsgi",), " is an App, which is native, not wsgi"),
        (":web", ("asgi",), (": the function loader_wrong.web cannot be called with (scope, receive, send), so it is"
         " not asgi; it looks like wsgi")),
        (":inner", (), (": a module is not an app; name an object in it, as module:attribute; did you mean"
         " 'loader_inner:site'?")),
        (":free", (), (": the function loader_wrong.free takes any arguments, so its interface is unknown;"
         " set it to wsgi or asgi")),
        (":web", ("auto", True), (" is the function loader_wrong.web, which is not a factory: it cannot be called"
         " without arguments")),
        (":nothing", ("auto", True), ": a NoneType is not an app: it cannot be called"),
    ],
)  # fmt: skip
def test_what_is_no_app(here: pathlib.Path, attribute: str, how: tuple[Any, ...], message: str) -> None:
    write(
        here / "loader_wrong.py",
        "from dimserver import App\nimport loader_inner as inner\napp = App()\ndef web(environ, start_response): ...\n"
        "def free(*args): ...\ndef nothing(): ...\n",
    )
    write(here / "loader_inner.py", "def site(environ, start_response): ...\n")
    with pytest.raises(LoadError) as caught:
        load_app(f"loader_wrong{attribute}", *how)
    assert str(caught.value) == f"'loader_wrong{attribute}'{message}"


def raised_lines(error: AppImportError) -> list[str]:
    assert error.__cause__ is not None
    return "".join(traceback.format_exception(error.__cause__)).splitlines()


@pytest.mark.parametrize("target", ["loader_broken", "loader_broken.py"])
def test_an_exception_of_the_module_begins_at_its_own_code(here: pathlib.Path, target: str) -> None:
    write(here / "loader_broken.py", "def f():\n    return 1 / 0\nf()\n")
    with pytest.raises(AppImportError, match="raised ZeroDivisionError while it was loaded") as caught:
        load_object(target)
    lines = raised_lines(caught.value)
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].endswith('loader_broken.py", line 3, in <module>')
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert not any("importlib" in line or "loader.py" in line for line in lines)


@pytest.mark.parametrize("target", ["loader_needs", "loader_needs.py", "loader_pack.needs", "loader_pack/needs.py"])
def test_a_module_missing_inside_the_module_is_not_the_users_typing(here: pathlib.Path, target: str) -> None:
    write(here / "loader_needs.py", "import loader_absent\n")
    write(here / "loader_pack/__init__.py", "")
    write(here / "loader_pack/needs.py", "import loader_absent\n")
    with pytest.raises(AppImportError) as caught:
        load_object(target)
    assert raised_lines(caught.value)[-1] == "ModuleNotFoundError: No module named 'loader_absent'"


def test_a_module_that_misses_itself_is_not_the_users_typing_either(here: pathlib.Path) -> None:
    write(here / "loader_self/__init__.py", "import loader_self.web\n")
    with pytest.raises(AppImportError):
        load_object("loader_self.web")


@pytest.mark.parametrize("target", ["loader_bad", "loader_bad.py"])
def test_a_syntax_error_shows_its_line(here: pathlib.Path, target: str) -> None:
    write(here / "loader_bad.py", "x = 1\ndef (:\n")
    with pytest.raises(AppImportError) as caught:
        load_object(target)
    text = "\n".join(raised_lines(caught.value))
    assert 'loader_bad.py", line 2' in text
    assert "importlib" not in text


@pytest.mark.parametrize("target", ["loader_exits", "loader_exits.py"])
def test_a_module_that_exits(here: pathlib.Path, target: str) -> None:
    write(here / "loader_exits.py", "import sys\nsys.exit(0)\n")
    with pytest.raises(AppImportError, match=r"ended the program while it was loaded \(exit 0\)"):
        load_object(target)
    assert "loader_exits" not in sys.modules


def test_ctrl_c_is_not_swallowed(here: pathlib.Path) -> None:
    write(here / "loader_interrupted.py", "raise KeyboardInterrupt\n")
    for target in ("loader_interrupted", "loader_interrupted.py"):
        with pytest.raises(KeyboardInterrupt):
            load_object(target)


def test_an_attribute_that_raises(here: pathlib.Path) -> None:
    write(here / "loader_lazy.py", "def __getattr__(name):\n    raise RuntimeError(name)\n")
    with pytest.raises(AppImportError, match="raised RuntimeError") as caught:
        load_object("loader_lazy")
    assert raised_lines(caught.value)[1].endswith('loader_lazy.py", line 2, in __getattr__')


def test_a_current_directory_that_is_gone(tmp_path: pathlib.Path) -> None:
    script = (
        "import os, dimserver.worker.loader as l\n"
        f"os.mkdir({str(tmp_path / 'gone')!r}); os.chdir({str(tmp_path / 'gone')!r}); os.rmdir(os.getcwd())\n"
        "try:\n    l.load_object('anything')\nexcept l.LoadError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("the current directory cannot be read")


def test_application_is_found_where_app_names_no_attribute(here: pathlib.Path) -> None:
    write(here / "loader_site/__init__.py", "")
    write(here / "loader_site/wsgi.py", "application = 'of Django'\n")
    write(here / "loader_both.py", "app = 'first'\napplication = 'second'\n")
    write(here / "loader_module.py", "import sys as app\napplication = 'no module'\n")
    assert load_object("loader_site.wsgi") == "of Django"
    assert load_object("loader_site/wsgi.py") == "of Django"
    assert load_object("loader_both") == "first"
    assert load_object("loader_module") == "no module"
    with pytest.raises(LoadError, match="has no attribute 'app'"):
        load_object("loader_site.wsgi:app")
    write(here / "loader_neither.py", "xyz = 1\n")
    with pytest.raises(LoadError, match="has no attribute 'app' and no 'application'"):
        load_object("loader_neither")


UNTOUCHABLE = """
from unittest.mock import Mock, call
class Proxy:
    def _fail(self, *a):
        raise RuntimeError("Working outside of request context.\\n\\nlong text")
    __class__ = property(_fail)
    __getattr__ = __dir__ = __call__ = _fail
class Worse(Proxy):
    def _end(self, *a):
        raise SystemExit(3)
    __class__ = property(_end)
    __getattr__ = _end
request, worse, mock = Proxy(), Worse(), Mock()
"""


def test_objects_that_cannot_be_looked_at_do_not_spoil_the_search(here: pathlib.Path) -> None:
    write(here / "loader_proxies.py", UNTOUCHABLE + "def shop(environ, start_response): ...\n")
    with pytest.raises(LoadError, match="has no attribute 'application'"):
        load_object("loader_proxies:application")
    with pytest.raises(LoadError, match="has no attribute 'app'"):
        load_app("loader_proxies")


@pytest.mark.parametrize("interface", ["auto", "wsgi", "asgi", "native"])
def test_an_object_that_cannot_be_looked_at_is_no_app(here: pathlib.Path, interface: str) -> None:
    write(here / "loader_proxy.py", UNTOUCHABLE)
    with pytest.raises(LoadError) as caught:
        load_app("loader_proxy:request", interface)
    assert "'loader_proxy:request': a Proxy is not an app: inspecting it raises RuntimeError (Working" in str(
        caught.value
    )
    assert "\n" not in str(caught.value)
    with pytest.raises((LoadError, AppImportError)):
        load_object("loader_proxy:request.nothing")


def test_the_proxies_of_flask(here: pathlib.Path) -> None:
    pytest.importorskip("flask")
    write(here / "loader_flask.py", "from flask import Flask, request, g, session, current_app\nshop = Flask('x')\n")
    with pytest.raises(LoadError, match=r"has no attribute 'application'; did you mean 'shop'\?$"):
        load_object("loader_flask:application")
