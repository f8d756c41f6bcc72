"""What an input is: a few bytes of choices, then what is parsed; and how inputs are kept as text.

The choices stand in the input so that the fuzzer makes them too: where the text is cut, and under which limits
it is read.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path

from tests.wire.cases import load, unescape

HERE = Path(__file__).parent
TARGETS = ("heads", "chunks", "routes", "ranges", "messages", "proxyheads", "connections")

CHOICES = 4  # bytes

MORE_CHOICES = {"connections": 4}  # bytes behind them: how the peer behaves

PLAIN = bytes(CHOICES)  # no limits but the usual ones, no cuts

_ESCAPED = re.compile(rb"[^ -\[\]-~]")
_NAMED = {b"\r": b"\\r", b"\n": b"\\n", b"\t": b"\\t"}


# A byte no grammar has stands for many, so that limits of kilobytes are met by short inputs.
STRETCHED = 64  # of the last choice: in this input it does
LONG = b"\x1a"
FILLER = b"a" * 1000


def split_choices(data: bytes) -> tuple[bytes, bytes]:
    """Choices, filled up with zeros, and text."""
    choices, text = data[:CHOICES].ljust(CHOICES, b"\0"), data[CHOICES:]
    return choices, text.replace(LONG, FILLER) if choices[3] & STRETCHED else text


def cut(text: bytes, choices: bytes) -> list[bytes]:
    """The text in up to four pieces."""
    places = sorted(choice * (len(text) + 1) >> 8 for choice in choices[:3])
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]


def bytewise(text: bytes) -> list[bytes]:
    return [text[at : at + 1] for at in range(len(text))]


def escape(data: bytes) -> str:
    r"""The wire corpus's notation, one line; a backslash becomes ``\x5c``, so that it never begins a repetition."""
    return _ESCAPED.sub(lambda match: _NAMED.get(match[0], b"\\x%02x" % match[0][0]), data).decode("ascii")


def read_corpus(target: str) -> list[bytes]:
    """The inputs that are kept, in the order of the file."""
    lines = (HERE / "corpus" / f"{target}.txt").read_text("ascii").split("\n")
    return [unescape(line).encode("latin-1") for line in lines if line]


def write_corpus(target: str, inputs: Iterable[bytes]) -> None:
    """Keep these inputs: short ones first, each once."""
    kept = sorted({data for data in inputs if data}, key=lambda data: (len(data), data))
    text = "".join(f"{escape(data)}\n" for data in kept)
    (HERE / "corpus" / f"{target}.txt").write_text(text, "ascii")


def read_dictionary(target: str) -> list[bytes]:
    """The words of a libFuzzer dictionary."""
    lines = (HERE / "dictionaries" / f"{target}.dict").read_text("ascii").split("\n")
    return [ast.literal_eval("b" + line) for line in lines if line and not line.startswith("#")]


def seeds(target: str) -> list[bytes]:
    """What the wire corpus has to offer to a target; long cases are about limits, which the choices make reachable."""
    requests = [case.request for case in load() if len(case.request) < 2000]
    if target == "heads":
        return [PLAIN + request for request in requests]
    if target == "connections":
        plain = PLAIN + bytes(4)
        return [plain + request for request in requests] + [
            b"\x30\x80\xc0\x07\0\0\0\0" + request for request in requests
        ]
    if target == "chunks":
        bodies = (request.partition(b"\r\n\r\n")[2] for request in requests if b"chunked" in request)
        return [PLAIN + body for body in bodies]
    return []


def checker(target: str) -> Callable[[bytes], None]:
    """The harness of a target; it raises `AssertionError` for an input that shows a fault."""
    check: Callable[[bytes], None] = import_module(f"tests.fuzz.{target}").check
    return check
