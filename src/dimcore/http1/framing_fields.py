"""Fields of answers that are the server's alone: what frames a message, and what is about its connection."""

from __future__ import annotations

__all__ = ["FRAMING_FIELDS", "is_framing_field"]

# RFC 9110 7.6.1 and 8.6, RFC 9112 6.1; Date is the time at which the server writes the head.  In lower case.
FRAMING_FIELDS = frozenset(
    (
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)


def is_framing_field(name: str) -> bool:
    """Whether this is the name of one of them, in whatever case."""
    return name.lower() in FRAMING_FIELDS
