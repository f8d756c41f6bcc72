"""One WSGI app under gunicorn and under this server, request by request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.dimserver.conftest import Child
from tests.frameworks.side_by_side import APPS, REQUESTS, Peer, ask, differences, request

ANSWERS = (
    "sized", "pieces", "writes", "empty", "no_content", "not_modified", "headers", "fails", "fails_after_start",
    "fails_in_its_iterator", "replaces_its_answer", "too_few", "too_many", "never_starts", "bad_header", "closes",
)  # fmt: skip
CASES = {
    **{name: request(f"/environ{target}", *fields, **how) for name, (target, fields, how) in REQUESTS.items()},
    "reads": request("/reads", "Content-Length: 31", method="POST", body=b"one\ntwo three\nfour\nfive\nsix end"),
    "CONNECT": request("example.org:443", method="CONNECT"),
    "OPTIONS *": request("*", method="OPTIONS"),
    **{f"GET {name}": request(f"/{name}") for name in ANSWERS},
    **{f"HEAD {name}": request(f"/{name}", method="HEAD") for name in ANSWERS},
    **{f"1.0 {name}": request(f"/{name}", version="1.0") for name in ANSWERS},
}

# What is another thing on purpose.  docs/gateways.md has the reasons, under these names.
EVERYWHERE = {
    "app: REQUEST_URI": "REQUEST_URI", "app: SERVER_SOFTWARE": "names", "app: gunicorn.socket": "gunicorn's own keys",
    "app: wsgi.early_hints": "gunicorn's own keys", "app: wsgi.errors": "names", "app: wsgi.input": "names",
}  # fmt: skip
FRAMING = "framing"
HEAD_FRAMING = "framing of HEAD"
VERSION = "HTTP/1.0"
ERROR_PAGE = "error pages"
STRICT = "broken apps"
REASONS = {
    "headers": {"app: HTTP_COOKIE": "Cookie"},
    "absolute form": {"app: HTTP_HOST": "absolute targets"},
    "forwarded": {"app: wsgi.url_scheme": "trusted proxies"},
    "lower case": {"*": "methods"},
    "CONNECT": {"*": "CONNECT"},
    "OPTIONS *": {"*": "OPTIONS *"},
    "expect": {"*": "100 Continue"},
    **{f"{form} replaces_its_answer": {"content-type": "exc_info"} for form in ("GET", "HEAD", "1.0")},
    **{
        f"{form} {name}": {"*": ERROR_PAGE}
        for form in ("GET", "HEAD", "1.0")
        for name in ("fails", "fails_after_start", "bad_header")
    },
    **{f"{form} {name}": {"*": STRICT} for form in ("GET", "HEAD", "1.0") for name in ("too_few", "never_starts")},
}


def reason(case: str, name: str, theirs: Any, ours: Any) -> str | None:
    """Why they differ, by a name that the documentation has; None where nobody knows."""
    known = REASONS.get(case, {})
    if name in EVERYWHERE or name in known or "*" in known:
        return EVERYWHERE.get(name) or known.get(name) or known["*"]
    if name == "framing" and (theirs, ours) == ("chunked", "length"):
        return FRAMING
    if name in ("framing", "length") and "HEAD" in case:
        return HEAD_FRAMING
    if name == "length" and (theirs, ours) == (None, 0):
        return FRAMING
    if "1.0" in case and name in ("status", "framing"):
        same = name == "framing" or theirs.removeprefix("HTTP/1.0") == ours.removeprefix("HTTP/1.1")
        return VERSION if same else None
    return None


@pytest.fixture(scope="module")
def urls() -> Iterator[tuple[str, str]]:
    with Peer("gunicorn", "mirror_wsgi:app", "-b", "127.0.0.1:0", "--threads", "8") as peer:
        ours = Child("run", "mirror_wsgi:app", "--port", "0", cwd=APPS)
        yield peer.url, ours.urls[0]
        ours.end()
        for stream in (ours.process.stdout, ours.process.stderr):
            assert stream is not None
            stream.close()


@pytest.mark.parametrize("case", CASES)
def test_the_same_but_for_what_is_documented(urls: tuple[str, str], case: str) -> None:
    theirs, ours = (ask(url, CASES[case]) for url in urls)
    found = differences(theirs, ours)
    unknown = {name: pair for name, pair in found.items() if reason(case, name, *pair) is None}
    assert unknown == {}


@pytest.mark.parametrize("name", [name for name in ANSWERS if not name.startswith("too_")])
def test_what_is_said_of_the_length_without_a_body_is_true(urls: tuple[str, str], name: str) -> None:
    whole, bare = (ask(urls[1], request(f"/{name}", method=method)) for method in ("GET", "HEAD"))
    assert bare.get("length", len(whole["body"])) == len(whole["body"])


def test_every_difference_is_there_and_documented(urls: tuple[str, str]) -> None:
    seen: set[str] = set()
    for case, sent in CASES.items():
        found = differences(*(ask(url, sent) for url in urls))
        seen |= {reason(case, name, *pair) or f"{case}: {name} {pair}" for name, pair in found.items()}
    words = {*EVERYWHERE.values(), *(word for known in REASONS.values() for word in known.values())}
    assert seen == words | {FRAMING, HEAD_FRAMING, VERSION}
    text = (APPS.parents[2] / "docs" / "gateways.md").read_text(encoding="utf-8")
    section = text.partition("## Beside gunicorn")[2].partition("\n## ")[0]
    assert {word for word in seen if f"| {word} |" not in section} == set()
