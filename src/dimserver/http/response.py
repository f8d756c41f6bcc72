"""The answer as an object, for handlers that would rather build one than return a tuple."""

from __future__ import annotations

from dimcore import ResponseError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable, Mapping
    from typing import Any, TypeAlias

    from dimcore import Composite, FileBody, Outflow

    Pieces: TypeAlias = Iterable[bytes | str] | AsyncIterable[bytes | str]
    Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]] | None
    Body: TypeAlias = bytes | str | dict[str, Any] | list[Any] | FileBody | Composite | Pieces | Outflow | None

__all__ = ["Response"]


class Response:
    """Status, headers and body of an answer; the writer checks them when it is sent.

    Args:
        body: `bytes`, `str` (UTF-8), `dict` or `list` (JSON), a `dimcore.FileBody` or
            `dimcore.Composite`, an iterable or async iterable of `bytes` or `str` that is sent
            as it is made (a generator), a `dimcore.Push`, or None for an empty one.
        status: 200 to 599.
        headers: mapping or pairs; names may repeat in pairs.
        content_type: adds a Content-Type field.

    Thread-safety: a plain object; belongs to the handler until it is returned.
    """

    __slots__ = ("body", "headers", "status")

    def __init__(
        self,
        body: Body = b"",
        status: int = 200,
        headers: Headers = None,
        *,
        content_type: str | None = None,
    ) -> None:
        self.status = status
        self.body = body
        self.headers: list[tuple[str, str]] = []
        if headers is not None:
            items = getattr(headers, "items", None)
            pairs: Any = headers if items is None else items()
            self.headers.extend(pairs)
        if content_type is not None:
            self.headers.append(("Content-Type", content_type))

    @classmethod
    def stream(
        cls, source: Pieces, status: int = 200, headers: Headers = None, *, content_type: str | None = None
    ) -> Response:
        """An answer whose body is sent as it is made.

        Args:
            source: an iterable or async iterable of `bytes` or `str`.  It is asked for more as the peer reads;
                when the peer leaves, a generator is closed, and one that waits asynchronously is cancelled.
            status, headers, content_type: as for the constructor.  Without a Content-Length among the
                headers the body is sent in chunks, to HTTP/1.0 until the connection ends.

        Raises:
            ResponseError: `source` cannot be iterated, or is a whole body.
        """
        if isinstance(source, (bytes, bytearray, memoryview, str, dict)) or not (
            hasattr(source, "__iter__") or hasattr(source, "__aiter__")
        ):
            raise ResponseError(f"a stream needs an iterable or async iterable of pieces, not {type(source).__name__}")
        if isinstance(source, (list, tuple)):  # as a body it would be JSON
            source = iter(source)
        return cls(source, status, headers, content_type=content_type)

    def __repr__(self) -> str:
        return f"Response({self.status}, {self.headers!r}, {self.body!r:.60})"
