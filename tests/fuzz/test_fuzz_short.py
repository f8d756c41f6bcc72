"""The short run of the fuzzer, with the build that is installed; and that the harnesses would see a fault."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.fuzz import chunks, connection_model, heads, messages, proxyheads, ranges, routes
from tests.fuzz.__main__ import sanitized
from tests.fuzz.build import ROOT, build, compile_changed
from tests.fuzz.inputs import (
    CHOICES,
    HERE,
    TARGETS,
    checker,
    cut,
    escape,
    read_corpus,
    read_dictionary,
    seeds,
    split_choices,
)
from tests.fuzz.mutate import Finding, mutations, run
from tests.wire.cases import unescape

from dimcore import MessageReader
from dimcore.http1.head import FAULTS
from dimcore.http1.head_reader import HeadParser
from dimserver.handlers.ranges import read_range

INPUTS = 50_000  # for each target: 2 to 5 s
FEWER = {"messages": 20_000, "connections": 12_000}  # where one takes longer


@pytest.mark.parametrize("target", TARGETS)
def test_kept_inputs_and_others_made_of_them(target: str) -> None:
    count = FEWER.get(target, INPUTS)
    assert run(target, count) > count


class SeamParser:
    """A parser with a fault of the kind that only shows in pieces: a tab at the start of one is lost."""

    def __init__(self, **limits: int) -> None:
        self._parser = HeadParser(**limits)
        self._fresh = True

    def feed(self, data: bytes) -> int | None:
        if not self._fresh:
            data = data.removeprefix(b"\t")
        self._fresh = False
        return self._parser.feed(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)


class SeamReader:
    """A reader with such a fault: a ping that begins a piece is lost."""

    def __init__(self, **limits: Any) -> None:
        self._reader = MessageReader(**limits)
        self._fresh = True

    def feed(self, data: bytes) -> Any:
        events = self._reader.feed(data)
        first, self._fresh = self._fresh, False
        return events if first or not events or events[0][0] != 9 else events[1:]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)


def one_too_many(value: str, size: int) -> list[tuple[int, int]] | None:
    found = read_range(value, size)
    return found and [(first, count + 1) for first, count in found]


@pytest.mark.parametrize(
    ("harness", "name", "wrong"),
    [
        (heads, "HeadParser", SeamParser),
        # A model that is wrong by one rule is the same as a parser that is.
        (heads, "SINGLETONS", heads.SINGLETONS | {b"origin"}),
        (heads, "is_host", lambda text, port_needed=False: text != b""),
        (chunks, "TRAILER_BYTES", 8),
        (chunks, "LINE_BYTES", 20),
        (chunks, "decode_chunked", lambda text, limit: (text, len(text))),
        (routes, "model_find", lambda routes, method, path: routes[0] if routes else None),
        (messages, "MessageReader", SeamReader),
        (messages, "CODES", messages.CODES - {1000}),
        (messages, "STREAMS", 3),
        (messages, "TAIL", b""),
        (messages, "missing_of", lambda text: 0),
        (messages, "apply_mask", lambda text, mask, offset=0: text),
        (messages, "utf8_prefix", lambda text, step=0: 0 if text.isascii() else None),
        (proxyheads, "MOST", 4000),
        (proxyheads, "UNNAMED", {0x31}),
        (proxyheads, "CASTAGNOLI", 0xEDB88320),
        (proxyheads, "PORT", re.compile(rb"[0-9]{1,5}")),
        (ranges, "read_range", one_too_many),
        (connection_model, "agent_in", lambda head: None),
        (connection_model, "keeps_alive", lambda head: True),
        (connection_model, "is_handled", lambda method, path: True),
        (connection_model, "method_in", lambda text: "GET"),
        (connection_model, "body_of", lambda head, text: (b"", 0, 0)),
        (ranges, "evaluate", lambda headers, etag, modified: None),
        (ranges, "read_date", lambda text: ranges.LAST_MODIFIED if "1994" in text else None),
    ],
)
def test_a_fault_is_found(monkeypatch: pytest.MonkeyPatch, harness: Any, name: str, wrong: Any) -> None:
    monkeypatch.setattr(harness, name, wrong)
    name = harness.__name__.rpartition(".")[2]
    target = name if name in TARGETS else "connections"
    with pytest.raises(Finding) as finding:
        run(target, INPUTS)
    check = checker(target)
    with pytest.raises(Exception):  # noqa: B017, PT011 (whatever it was, the input alone shows it again)
        check(finding.value.data)
    monkeypatch.undo()
    check(finding.value.data)


def test_the_corpus_reaches_every_fault() -> None:
    reached = set()
    for data in [*read_corpus("heads"), *seeds("heads")]:
        choices, text = split_choices(data)
        reached.add(str(heads.outcome([text], heads.limits_of(choices))))
    for data in [*read_corpus("chunks"), *seeds("chunks")]:
        choices, text = split_choices(data)
        reached.add(str(chunks.outcome([text], chunks.limit_of(choices))))
    missing = {text for status, text in FAULTS.values() if str((status, text)) not in reached}
    assert missing == {  # told by the connection, not by the parsers
        "the only expectation supported is 100-continue",
        "the request did not arrive in time",
        "the request ended before it was complete",
    }


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_reads_as_it_was_written(target: str) -> None:
    inputs = read_corpus(target)
    assert inputs
    assert inputs == sorted(set(inputs), key=lambda data: (len(data), data))
    text = (HERE / "corpus" / f"{target}.txt").read_text("ascii")
    assert text == "".join(f"{escape(data)}\n" for data in inputs)


def test_every_byte_can_be_written() -> None:
    data = bytes(range(256)) + b"\\(a*3)\\\\r"
    text = escape(data)
    assert text.isascii()
    assert text.isprintable()
    assert unescape(text).encode("latin-1") == data


def test_cuts_are_of_the_whole_text() -> None:
    for choices in (b"\0\0\0\0", b"\xff\0\x80\0", b"\xff\xff\xff\xff"):
        for text in (b"", b"a", b"abc" * 300):
            assert b"".join(cut(text, choices)) == text
            assert len(cut(text, choices)) == 4


@pytest.mark.parametrize("target", TARGETS)
def test_the_same_seed_makes_the_same_inputs(target: str) -> None:
    corpus, words = [*read_corpus(target), *seeds(target)], read_dictionary(target)
    first, again, other = (list(islice(mutations(corpus, words, Random(seed)), 300)) for seed in (1, 1, 2))
    assert first == again != other
    assert len(set(first)) > 200
    assert all(len(data) >= CHOICES for data in first)


@pytest.mark.slow
def test_the_long_run_runs(tmp_path: Path) -> None:
    """The sanitized build, and a few seconds of each target under it."""
    pytest.importorskip("atheris")
    if shutil.which(os.environ.get("CC", "clang")) is None:
        pytest.skip("no clang")
    command = [sys.executable, "-m", "tests.fuzz", "run", "--seconds", "5", "--work", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "clean"
    assert done.stdout.count("DONE") == len(TARGETS)


# Lines of the core that keep a request's bytes readable: file, with and without them.
UNSAFE = {
    "an inbox is freed under its request": [
        (
            "leaving.pyx",
            "        if self.current is not None:\n            detach_request(self.current)\n        inbox_free(",
            "        inbox_free(",
        )
    ],
    "a request outlives its event": [
        (
            "exchange.pyx",
            "            if route.blocking:\n                request.own()\n",
            "            if route.blocking:\n",
        ),
        ("channel.pyx", "        elif self.current is not None:\n", "        elif False:\n"),
    ],
}


@pytest.mark.slow
def test_the_sanitizers_see_a_request_whose_bytes_are_gone(tmp_path: Path) -> None:
    """The short run under them, of builds that lack these lines, and of one that does not."""
    pytest.importorskip("atheris")
    if shutil.which(os.environ.get("CC", "clang")) is None:
        pytest.skip("no clang")
    root, directory = tmp_path / "sources", tmp_path / "build"
    for name in ("src", "tests/fuzz"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, root / name)
    library = build(directory, root)

    def short_run() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tests.fuzz", "short", "--inputs", "30000", "connections"]
        return subprocess.run(command, cwd=ROOT, env=sanitized(library), capture_output=True, text=True, check=False)

    done = short_run()
    assert done.returncode == 0, done.stdout + done.stderr
    for name, lines in UNSAFE.items():
        whole = {root / "src/dimcore" / file: (root / "src/dimcore" / file).read_text() for file, _, _ in lines}
        for file, old, new in lines:
            path = root / "src/dimcore" / file
            assert path.read_text().count(old) == 1
            path.write_text(path.read_text().replace(old, new))
        compile_changed(directory, root)
        done = short_run()
        assert done.returncode != 0, name
        assert re.search("AddressSanitizer: (heap-use-after-free|use-after-poison)", done.stderr), done.stderr[-2000:]
        for path, text in whole.items():
            path.write_text(text)
