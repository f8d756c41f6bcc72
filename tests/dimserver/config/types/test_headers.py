"""Names and values of fields that the server adds."""

from __future__ import annotations

import pytest

from dimserver.config.types import AddedFieldName, FieldValue


@pytest.mark.parametrize("text", ["X-Frame-Options", "server", "x" * 64, "a!#$%&'*+-.^_`|~9"])
def test_names(text: str) -> None:
    assert AddedFieldName().read(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        " X",
        "X ",
        "X Y",
        "X:Y",
        "X\r\nY",
        "x" * 65,
        "größe",
        "Content-Length",
        "TRANSFER-ENCODING",
        "trailer",
        "Date",
    ],
)
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whoever catches it writes the message
        AddedFieldName().read(text)
    assert "content-length" in AddedFieldName().allowed()


@pytest.mark.parametrize(
    ("text", "value"),
    [("DENY", "DENY"), (" \ta \t b\t ", "a \t b"), ("", ""), ("x" * 4096, "x" * 4096), ('a: b;c="d"', 'a: b;c="d"')],
)
def test_values(text: str, value: str) -> None:
    assert FieldValue().read(text) == value


@pytest.mark.parametrize("text", ["a\r\nX: b", "a\n", "\r", "\0", "\x7f", "é", "x" * 4097])
def test_what_is_no_value(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        FieldValue().read(text)


def test_none_of_them_is_a_number() -> None:
    for kind in (AddedFieldName(), FieldValue()):
        with pytest.raises(ValueError):  # noqa: PT011
            kind.read(0)
