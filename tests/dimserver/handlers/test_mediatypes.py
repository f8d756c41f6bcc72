from __future__ import annotations

import mimetypes

import pytest

from dimserver.handlers.mediatypes import OCTETS, TYPES, _by_extension, media_type


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"index.html", "text/html"),
        (b"INDEX.HTML", "text/html"),
        (b"a.css", "text/css"),
        (b"a.min.js", "text/javascript"),
        (b"a.mjs", "text/javascript"),
        (b"a.txt", "text/plain"),
        (b"a.json", "application/json"),
        (b"a.wasm", "application/wasm"),
        (b"a.svg", "image/svg+xml"),
        (b"a.png", "image/png"),
        (b"a.woff2", "font/woff2"),
        (b"a.tar.gz", "application/gzip"),
        (b"a.pdf", "application/pdf"),
        (b"a.doc", "application/msword"),
        (b"a.tsv", "text/tab-separated-values"),
        (b"a", OCTETS),
        (b"a.", OCTETS),
        (b"html", OCTETS),
        (b".html", OCTETS),
        (b"a.unheard-of", OCTETS),
        (b"a.\xff\xfe", OCTETS),
        (b"a." + b"x" * 200, OCTETS),
    ],
)
def test_the_type_of_a_name(name: bytes, expected: str) -> None:
    assert media_type(name) == expected


def test_the_tables_of_the_system_do_not_matter() -> None:
    mimetypes.add_type("application/x-of-this-machine", ".dimtest")
    mimetypes.add_type("application/x-of-this-machine", ".doc")
    _by_extension.cache_clear()
    try:
        assert media_type(b"a.dimtest") == OCTETS
        assert media_type(b"a.doc") == "application/msword"
    finally:
        mimetypes.init()
        _by_extension.cache_clear()


def test_the_table_is_well_formed() -> None:
    for extension, kind in TYPES.items():
        assert extension == extension.lower()
        assert not extension.startswith(".")
        assert kind.count("/") == 1
        assert kind == kind.lower()
