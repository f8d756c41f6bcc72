"""Reading answers: strictly, so that a server which frames one wrongly is found out."""

from __future__ import annotations

import re
from dataclasses import dataclass

_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5]\d\d) [\x20-\x7e]+")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ([\x20-\x7e]*)")


@dataclass
class Answer:
    """One answer; `fields` by lower-case name."""

    status: int
    fields: dict[str, str]
    body: bytes = b""


def split_answers(data: bytes, *, heads: int = 0) -> tuple[list[Answer], bytes]:
    """Take complete answers off the front.

    Args:
        data: what the server sent.
        heads: how many answers have no body because a HEAD asked for them; the first ones.

    Returns:
        The answers, interim ones included, and what is left.

    Raises:
        ValueError: what is there can be no answer.
    """
    answers: list[Answer] = []
    while data:
        head, found, rest = data.partition(b"\r\n\r\n")
        if not found:
            break
        answer = _read_head(head)
        if answer.status >= 200:
            length = int(answer.fields["content-length"])
            if heads:
                heads -= 1
            elif len(rest) < length:
                break
            else:
                answer.body, rest = rest[:length], rest[length:]
        answers.append(answer)
        data = rest
    return answers, data


def _read_head(head: bytes) -> Answer:
    first, *lines = head.split(b"\r\n")
    status = _STATUS_LINE.fullmatch(first)
    if status is None:
        raise ValueError(f"not a status line: {first!r}")
    fields: dict[str, str] = {}
    for line in lines:
        match = _FIELD.fullmatch(line)
        if match is None:
            raise ValueError(f"not a field: {line!r}")
        name = match[1].decode().lower()
        if name in fields:
            raise ValueError(f"{name} is there twice")
        fields[name] = match[2].decode()
    return Answer(int(status[1]), fields)
