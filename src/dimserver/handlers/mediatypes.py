"""The media type of a file, by its name, the same on every system.

The standard library's `mimetypes` reads the tables of the machine it runs on
(``/etc/mime.types``, the Windows registry), and its own table differs from one
Python to the next, so the types a web page needs are listed here.  What is not
among them is looked up in that own table, never in the machine's.
"""

from __future__ import annotations

from functools import lru_cache

__all__ = ["OCTETS", "media_type"]

OCTETS = "application/octet-stream"  # nothing is known (RFC 9110 8.3)

# IANA's registry, and RFC 9239 for JavaScript.
TYPES = {
    "7z": "application/x-7z-compressed",
    "aac": "audio/aac",
    "apng": "image/apng",
    "atom": "application/atom+xml",
    "avif": "image/avif",
    "bin": OCTETS,
    "bmp": "image/bmp",
    "br": OCTETS,
    "bz2": "application/x-bzip2",
    "css": "text/css",
    "csv": "text/csv",
    "epub": "application/epub+zip",
    "flac": "audio/flac",
    "gif": "image/gif",
    "glb": "model/gltf-binary",
    "gltf": "model/gltf+json",
    "gz": "application/gzip",
    "htm": "text/html",
    "html": "text/html",
    "ico": "image/vnd.microsoft.icon",
    "ics": "text/calendar",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "js": "text/javascript",
    "json": "application/json",
    "jsonld": "application/ld+json",
    "jxl": "image/jxl",
    "log": "text/plain",
    "m4a": "audio/mp4",
    "m4v": "video/mp4",
    "map": "application/json",
    "md": "text/markdown",
    "mjs": "text/javascript",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "oga": "audio/ogg",
    "ogg": "audio/ogg",
    "ogv": "video/ogg",
    "opus": "audio/ogg",
    "otf": "font/otf",
    "pdf": "application/pdf",
    "png": "image/png",
    "rss": "application/rss+xml",
    "rtf": "application/rtf",
    "svg": "image/svg+xml",
    "tar": "application/x-tar",
    "tgz": "application/gzip",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "toml": "application/toml",
    "ttf": "font/ttf",
    "txt": "text/plain",
    "vtt": "text/vtt",
    "wasm": "application/wasm",
    "wav": "audio/wav",
    "weba": "audio/webm",
    "webm": "video/webm",
    "webmanifest": "application/manifest+json",
    "webp": "image/webp",
    "woff": "font/woff",
    "woff2": "font/woff2",
    "xhtml": "application/xhtml+xml",
    "xml": "text/xml",
    "xz": "application/x-xz",
    "yaml": "application/yaml",
    "yml": "application/yaml",
    "zip": "application/zip",
    "zst": "application/zstd",
}


def media_type(name: bytes) -> str:
    """The media type of a file, without parameters.

    Args:
        name: the last part of its path.

    Example:
        ``media_type(b"a.HTML") == "text/html"``
    """
    stem, dot, extension = name.rpartition(b".")
    return _by_extension(extension.lower()) if dot and stem and len(extension) <= 16 else OCTETS


@lru_cache(256)
def _by_extension(extension: bytes) -> str:
    text = extension.decode("latin-1")
    found = TYPES.get(text)
    if found is None:
        from mimetypes import MimeTypes

        # An instance holds the library's own table and no file of the system.
        found = MimeTypes().types_map[True].get(f".{text}", OCTETS)
    return found
