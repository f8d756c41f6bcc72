"""One WSGI app under gunicorn and under this server, request by request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.frameworks.side_by_side import (
    FORMS,
    Urls,
    both,
    cases,
    length_is_true,
    reasons,
    request,
    undocumented,
    unexplained,
)

ANSWERS = (
    "sized", "pieces", "writes", "empty", "no_content", "not_modified", "headers", "fails", "fails_after_start",
    "fails_in_its_iterator", "replaces_its_answer", "too_few", "too_many", "never_starts", "bad_header", "closes",
)  # fmt: skip
CASES = {
    **cases("/environ", ANSWERS),
    "reads": request("/reads", "Content-Length: 31", method="POST", body=b"one\ntwo three\nfour\nfive\nsix end"),
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
    "chunks": {
        "app: CONTENT_LENGTH": "chunked request bodies",
        "app: HTTP_TRANSFER_ENCODING": "chunked request bodies",
    },
    **{f"{form} replaces_its_answer": {"content-type": "exc_info"} for form in FORMS},
    **{f"{form} {name}": {"*": ERROR_PAGE} for form in FORMS for name in ("fails", "fails_after_start", "bad_header")},
    **{f"{form} {name}": {"*": STRICT} for form in FORMS for name in ("too_few", "never_starts")},
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
def urls() -> Iterator[Urls]:
    with both("mirror_wsgi:app", "gunicorn", "-b", "127.0.0.1:0", "--threads", "8") as found:
        yield found


@pytest.mark.parametrize("case", CASES)
def test_the_same_but_for_what_is_documented(urls: Urls, case: str) -> None:
    assert unexplained(urls, case, CASES[case], reason) == {}


@pytest.mark.parametrize("name", [name for name in ANSWERS if not name.startswith("too_")])
def test_what_is_said_of_the_length_without_a_body_is_true(urls: Urls, name: str) -> None:
    assert length_is_true(urls[1], name)


def test_every_difference_is_there_and_documented(urls: Urls) -> None:
    seen = reasons(urls, CASES, reason)
    words = {*EVERYWHERE.values(), *(word for known in REASONS.values() for word in known.values())}
    assert seen == words | {FRAMING, HEAD_FRAMING, VERSION}
    assert undocumented(seen, "Compared with gunicorn") == set()
