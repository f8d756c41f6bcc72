from __future__ import annotations

import mimetypes
import pathlib

import pytest

from dimserver.handlers.media_types import OCTETS, TYPES, _by_extension, media_type


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


def test_every_name_that_nginx_knows_has_a_type() -> None:
    table = pathlib.Path("/etc/nginx/mime.types")
    if not table.exists():
        pytest.skip("nginx is not installed")
    rows = [line.split() for line in table.read_text().partition("{")[2].rpartition("}")[0].split(";")]
    theirs = {name: kind for kind, *names in filter(None, rows) for name in names}
    assert len(theirs) > 80
    ours = {name: media_type(b"x." + name.encode()) for name in theirs}
    # Registered since, or the registered name of the same thing.
    better = {
        "application/javascript": "text/javascript",
        "image/x-icon": "image/vnd.microsoft.icon",
        "image/x-ms-bmp": "image/bmp",
        "application/x-rar-compressed": "application/vnd.rar",
        "audio/x-m4a": "audio/mp4",
        "video/x-m4v": "video/mp4",
        "video/x-matroska": "video/matroska",
    }
    assert ours == {name: better.get(kind, kind) for name, kind in theirs.items()}


@pytest.mark.parametrize(
    "name", ["avif", "css", "gif", "htm", "html", "jpeg", "jpg", "js", "json", "mjs", "pdf", "png", "svg", "wasm",
             "webp", "xml", "mkv", "mov", "avi", "docx", "m3u8", "heic", "geojson"],
)  # fmt: skip
def test_what_browsers_ask_for_is_no_unknown(name: str) -> None:
    assert media_type(b"x." + name.encode()) != OCTETS
