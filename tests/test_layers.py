"""The import order: each module imports only what stands before it, in Python and in C alike.

The order below is the architecture in its shortest form.  A new module is given
its place here; a module that cannot be placed is the sign of a cycle.

docs/design.md shows the same order: `python tests/test_layers.py` writes it there.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "src"
DOCUMENT = ROOT / "docs" / "design.md"
COMMAND = "python tests/test_layers.py"
BEGIN, END = f"<!-- layers:begin, written by `{COMMAND}` -->", "<!-- layers:end -->"

# Modules, and packages; a module may also import those of its own package, as long as that is no circle.
CORE = (
    ("limits", "errors", "forked", "clock", "reports"),
    ("shared",),
    ("budget", "worker_record"),
    ("text",),
    ("index",),
    ("http1",),
    ("aio",),
    ("http",),
    ("net",),
    ("conn",),
    ("filter",),
    ("ws",),
    ("pubsub",),
    ("wsgi",),
    ("asgi",),
    ("stats",),
    ("seed",),
)

# Packages; a module may also import those of its own package, as long as that is no circle.
SHELL = (
    ("errors", "log_file", "nowait", "version"),
    ("log",),
    ("config",),
    ("net",),
    ("http",),
    ("ws",),
    ("routes",),
    ("services",),
    ("filters", "handlers", "gateway"),
    ("worker",),
    ("supervisor",),
    ("app",),
    ("cli",),
    ("testing",),
)

# `import a`, `cimport a.b`, `from a.b cimport c`; the names may go on over several lines.
IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+c?import[ \t]+(\(?[^\n]*)|c?import[ \t]+([\w., \t]+))", re.MULTILINE
)


def core_imports(path: Path) -> Iterator[str]:
    """Every module of ours a Cython source names."""
    for match in IMPORT.finditer(path.read_text(encoding="utf-8")):
        if match[1]:
            yield match[1]
        else:
            for name in match[3].split(","):
                yield name.split()[0]


def python_imports(path: Path) -> Iterator[str]:
    """The same for Python, wherever in the file the import stands, for types alone or not."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute here"
            yield node.module or ""


def imports_of(path: Path) -> set[str]:
    read = core_imports if path.suffix in (".pyx", ".pxd") else python_imports
    return {name for name in read(path) if name.partition(".")[0] in ("dimcore", "dimserver", "")}


def sources(package: str) -> list[Path]:
    return sorted(path for path in (SOURCES / package).rglob("*") if path.suffix in (".py", ".pyx", ".pxd", ".pyi"))


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(SOURCES).with_suffix("").parts).removesuffix(".__init__")


def ranks(rows: tuple[tuple[str, ...], ...]) -> dict[str, int]:
    return {name: rank for rank, row in enumerate(rows) for name in row}


def name_of(path: Path) -> str:
    return path.relative_to(SOURCES).as_posix()


def test_both_languages_are_read(tmp_path: Path) -> None:
    cython = tmp_path / "a.pyx"
    cython.write_text(
        "from dimcore.limits cimport (\n    A,\n    B,\n)\ncimport dimcore.index.cell, dimcore.index.index\n"
        "from dimcore.errors import X\n    from dimcore import patterns\n# from dimcore.no import x\ncimport cython\n"
    )
    assert imports_of(cython) == {
        "dimcore.limits",
        "dimcore.index.cell",
        "dimcore.index.index",
        "dimcore.errors",
        "dimcore",
    }
    python = tmp_path / "a.py"
    python.write_text("import dimserver.net.loop\nif 0:\n    from dimserver.log import Log\nimport os\n")
    assert imports_of(python) == {"dimserver.net.loop", "dimserver.log"}


@pytest.mark.parametrize("path", sources("dimcore"), ids=name_of)
def test_the_core(path: Path) -> None:
    rank = ranks(CORE)
    name = module_of(path).removeprefix("dimcore").removeprefix(".")
    for imported in imports_of(path):
        assert imported, "relative imports hide the order"
        assert imported.startswith("dimcore"), f"the core knows nothing of {imported}"
        other = imported.removeprefix("dimcore").removeprefix(".")
        if other == name or name == "":
            continue
        assert other, "the package imports its modules, not the other way round"
        layer, lower = name.partition(".")[0], other.partition(".")[0]
        assert layer in rank, f"give dimcore.{layer} its place in CORE"
        if lower == layer:
            continue
        assert rank[lower] < rank[layer], f"{name} imports {other}, which does not stand before it"


@pytest.mark.parametrize("path", sources("dimserver"), ids=name_of)
def test_the_shell(path: Path) -> None:
    rank = ranks(SHELL)
    module = module_of(path)
    layer = module.split(".")[1] if "." in module else ""
    if layer in ("", "__main__"):  # the package itself and the command stand above everything
        return
    assert layer in rank, f"give dimserver.{layer} its place in SHELL"
    for imported in imports_of(path):
        assert imported, "relative imports hide the order"
        package, _, rest = imported.partition(".")
        if package == "dimcore":
            continue
        other = rest.partition(".")[0]
        if not other:
            assert layer == "cli", f"{module} imports the whole package, which imports it"
            continue
        if other != layer:
            assert rank[other] < rank[layer], f"{module} imports {imported}, which does not stand before it"


def whole_names(path: Path, modules: set[str]) -> set[str]:
    """The modules a source names, `from a import b` as `a.b` where that is a module; imports in functions count too."""
    found: set[str] = set()
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                found.update(member(node.module or "", alias.name, modules) for alias in node.names)
    else:
        text = path.read_text(encoding="utf-8")
        for match in IMPORT.finditer(text):
            if match[1]:
                names = text[match.start(2) + 1 : text.index(")", match.start(2))] if match[2][0] == "(" else match[2]
                for line in names.splitlines():
                    each = line.partition("#")[0].split(",")
                    found.update(member(match[1], name.split()[0], modules) for name in each if name.strip())
            else:
                found.update(name.split()[0] for name in match[3].split(","))
    return found & modules


def member(module: str, name: str, modules: set[str]) -> str:
    return f"{module}.{name}" if f"{module}.{name}" in modules else module


def import_graph() -> dict[str, set[str]]:
    """Each module of the core and the shell, and those it imports."""
    paths = [path for root in ("dimcore", "dimserver") for path in sources(root) if path.suffix != ".pyi"]
    graph: dict[str, set[str]] = {module_of(path): set() for path in paths}
    for path in paths:
        graph[module_of(path)] |= whole_names(path, set(graph)) - {module_of(path)}
    return graph


def circles(graph: dict[str, set[str]]) -> set[frozenset[str]]:
    """The sets of modules of which each imports, by way of others, every other one."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        ahead = [start]
        while ahead:
            new = graph[ahead.pop()] - seen
            seen |= new
            ahead += new
        return seen

    reach = {name: reached(name) for name in graph}
    return {frozenset(other for other in reach[name] if name in reach[other]) for name in graph if name in reach[name]}


def test_no_import_circle() -> None:
    """Neither within a package nor over several; an import inside a function counts like one at the top."""
    assert circles(import_graph()) == set()


def test_circles_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": set(), "e": {"f", "a"}, "f": {"e"}}
    assert circles(graph) == {frozenset("abc"), frozenset("ef")}
    assert circles({"a": {"b"}, "b": set()}) == set()


def test_whole_names(tmp_path: Path) -> None:
    modules = {"dimcore.a", "dimcore.b", "dimcore.text", "dimcore.text.scan", "dimserver.net.loop", "dimserver.net"}
    cython = tmp_path / "x.pyx"
    cython.write_text(
        "from dimcore.text cimport (\n    scan,  # why\n    Other,\n)\ncimport dimcore.a, dimcore.no\n"
        "def f():\n    from dimcore cimport b as c\n"
    )
    assert whole_names(cython, modules) == {"dimcore.text.scan", "dimcore.text", "dimcore.a", "dimcore.b"}
    python = tmp_path / "x.py"
    python.write_text("import dimcore.a\ndef f():\n    from dimserver.net import loop, other\n")
    assert whole_names(python, modules) == {"dimcore.a", "dimserver.net.loop", "dimserver.net"}


def test_no_module_has_two_places_and_none_is_forgotten() -> None:
    for rows in (CORE, SHELL):
        names = [name for row in rows for name in row]
        assert len(names) == len(set(names))
    modules = {module_of(path).removeprefix("dimcore.").partition(".")[0] for path in sources("dimcore")} - {"dimcore"}
    assert modules <= set(ranks(CORE))


# --- the system ----------------------------------------------------------------------------------------------

# Modules of the core that call the operating system, in C or by a module of Python's, and what for.
SYSTEM = {
    "net.address_counts": "a random seed; the family of an address",
    "asgi.send": "opens the file that an app names",
    "clock": "the clock",
    "conn.core": "the time of day",
    "conn.deadlines": "the time of day",
    "conn.access_log": "the time zone; addresses as text",
    "forked": "the end of a process that an app forked",
    "net.parent_death": "the signal at a parent's end",
    "net.proxy_protocol": "addresses from text",
    "shared.segment": "memory that processes share",
    "http.spool": "the temporary file of a body",
    "net.socket_io": "sockets, and files that are sent",
    "net.process_title": "the name of the process",
    "http1.head_writer": "the date",
}
CALLS = re.compile(
    r"""extern\ from\ "(?:sys/|unistd|time|fcntl|errno|arpa/|netinet/|pthread)
      | ^\s*\#\s*include\ <(?:sys/|unistd|time|fcntl|arpa/|netinet/|pthread|stdatomic)
      | ^\s*(?:import|from)\ (?:os|socket|mmap|tempfile|fcntl|select|signal|threading|time)\b""",
    re.MULTILINE | re.VERBOSE,
)


def test_few_modules_of_the_core_call_the_system() -> None:
    found = {
        module_of(path).removeprefix("dimcore.")
        for path in (SOURCES / "dimcore").rglob("*") if path.suffix in (".pyx", ".pxd", ".h", ".py")
        if CALLS.search(path.read_text(encoding="utf-8"))
    }  # fmt: skip
    assert found == set(SYSTEM)


# --- the same order in the documentation ---------------------------------------------------------------------


def drawing() -> str:
    """Both orders as docs/design.md has them: a row a line, continued under its first name."""
    lines = []
    for package, rows in (("dimcore", CORE), ("dimserver", SHELL)):
        first = f"{package:<12}"
        for row in rows:
            lines += textwrap.wrap(" ".join(row), 110, initial_indent=first, subsequent_indent=" " * 12)
            first = " " * 10 + "→ "
    return "\n".join(lines)


def written(text: str) -> str:
    """A document with the drawing between its marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin, f"{DOCUMENT.name} has no {BEGIN}"
    assert end, f"{DOCUMENT.name} has no {END}"
    return f"{before}{BEGIN}\n\n```\n{drawing()}\n```\n\n{END}{after}"


@pytest.mark.skipif(not DOCUMENT.exists(), reason="no documentation beside an installed package")
def test_the_documentation_shows_this_order() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text == written(text), f"write it anew: {COMMAND}"
    for row in (*CORE, *SHELL):
        assert all(name in drawing() for name in row)


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
