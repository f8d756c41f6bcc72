"""The corpus: reading the files; README.md describes their form."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"

_HEADER = re.compile(r"\[([a-z0-9-]+)\] (RFC \d+ [\w.]+)")
_REPEAT = re.compile(r"\\\(((?:[^\\*]|\\.)*)\*(\d+)\)")
_ESCAPE = re.compile(r"\\(r|n|t|\\|x([0-9a-f]{2}))")
_PLAIN = {"r": "\r", "n": "\n", "t": "\t", "\\": "\\"}


def unescape(text: str) -> str:
    """The text meant by the corpus's notation; one character stands for one byte.

    Raises:
        ValueError: a backslash that begins no escape, or a character beyond printable ASCII.
    """
    if not text.isascii() or not text.isprintable():
        raise ValueError(f"not printable ASCII: {text!r}")
    text = _REPEAT.sub(lambda match: match[1] * int(match[2]), text)
    if "\\" in _ESCAPE.sub("", text):
        raise ValueError(f"a backslash that begins no escape: {text!r}")
    return _ESCAPE.sub(lambda match: chr(int(match[2], 16)) if match[2] else _PLAIN[match[1]], text)


@dataclass
class Case:
    """One request and what is expected of it.

    Attributes:
        answers: statuses of the answers, in order.
        closes: whether the connection closes behind the last of them.
        cut: the request is incomplete; the answers come once the client has ended its side.
        taken: whether the first request is well-formed and complete.
        facts: pairs of a fact's name and its text.
    """

    name: str
    rfc: str
    why: str = ""
    request: bytes = b""
    answers: list[int] = field(default_factory=list)
    closes: bool = True
    cut: bool = False
    taken: bool = False
    facts: list[tuple[str, str]] = field(default_factory=list)

    @property
    def head_only(self) -> bool:
        """Whether the answer comes without its body."""
        return self.request.lstrip(b"\r\n").startswith(b"HEAD ")

    def fact(self, name: str) -> str | None:
        """The text of the first fact of that name."""
        return next((text for known, text in self.facts if known == name), None)

    def expect(self, text: str) -> None:
        """Take in the first line of the expectation.

        Raises:
            ValueError: it cannot be read.
        """
        words = text.split(" ")
        match words:
            case ["none"]:
                self.cut = True
            case ["cut", status]:
                self.cut = True
                self.answers = [int(status)]
            case [status]:
                self.answers = [int(status)]
            case [status, "keep" | "close"]:
                self.answers = [int(status)]
                self.closes = words[1] == "close"
                self.taken = True
            case [status, "then", second]:
                self.answers = [int(status), int(second)]
                self.taken = True
            case _:
                raise ValueError(f"no expectation: {text!r}")


def read_cases(text: str, stem: str) -> list[Case]:
    """The cases of one file.

    Args:
        text: what is in the file.
        stem: put before the name of each case.

    Raises:
        ValueError: the text is malformed; the message has the line's number.
    """
    cases: list[Case] = []
    names: set[str] = set()
    fresh = False
    for number, line in enumerate(text.splitlines(), 1):
        try:
            if line.startswith("["):
                header = _HEADER.fullmatch(line)
                if header is None or header[1] in names:
                    raise ValueError(f"not '[name] RFC number section', or the name again: {line!r}")
                names.add(header[1])
                cases.append(Case(f"{stem}/{header[1]}", header[2]))
                fresh = True
            elif line.startswith("  "):
                cases[-1].why = f"{cases[-1].why} {line.strip()}".strip()
            elif line.startswith("> "):
                cases[-1].request += unescape(line[2:]).encode("latin-1")
            elif line.startswith("= ") and fresh:
                cases[-1].expect(line[2:])
                fresh = False
            elif line.startswith("= "):
                name, _, content = line[2:].partition(" ")
                cases[-1].facts.append((name, unescape(content)))
            elif line and not line.startswith("# "):
                raise ValueError(f"what is this? {line!r}")
        except (ValueError, IndexError) as error:
            raise ValueError(f"{stem}.wire, line {number}: {error}") from None
    return cases


def load() -> list[Case]:
    """Every case of every file."""
    return [case for path in sorted(CORPUS.glob("*.wire")) for case in read_cases(path.read_text("ascii"), path.stem)]
