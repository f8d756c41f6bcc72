"""Answers of the built-in endpoints: JSON that nobody keeps."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dimserver.handlers.status.types import Answer

__all__ = ["FORBIDDEN", "answer", "forbidden", "listed", "text"]

FORBIDDEN = "forbidden"

HEADERS = {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",  # figures of a moment, and who may see them is decided for each request
    "X-Content-Type-Options": "nosniff",
}


def answer(status: int, content: Mapping[str, object]) -> Answer:
    """An answer in JSON."""
    import json

    return status, dict(HEADERS), json.dumps(content, separators=(",", ":")).encode() + b"\n"


def listed(content: Mapping[str, object], name: str, items: Iterable[bytes]) -> Answer:
    """An answer in JSON, with a list whose items are JSON already, under `name` and behind the rest."""
    import json

    head = json.dumps(content, separators=(",", ":")).encode()[:-1]
    comma = b"," if content else b""
    parts = list(items) or [b""]
    # One join: a list of ten thousand is megabytes, which are not to be copied twice.
    parts[0] = b'%b%b"%b":[%b' % (head, comma, name.encode(), parts[0])
    parts[-1] += b"]}\n"
    return 200, dict(HEADERS), b",".join(parts)


def text(status: int, content: str) -> Answer:
    """An answer in plain text."""
    return status, {**HEADERS, "Content-Type": "text/plain; charset=utf-8"}, content.encode() + b"\n"


def forbidden(detail: str) -> Answer:
    """403, and who would be allowed."""
    return answer(403, {"error": FORBIDDEN, "detail": detail})
