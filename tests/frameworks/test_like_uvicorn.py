"""One ASGI app under uvicorn, with the parser it recommends (httptools), and under this server, request by request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.frameworks.side_by_side import FORMS, Urls, both, cases, length_is_true, reasons, undocumented, unexplained

ANSWERS = (
    "sized", "pieces", "nothing", "no_content", "not_modified", "headers", "fails", "fails_after_start",
    "fails_in_its_body", "too_few", "too_many", "never_starts", "starts_twice", "body_first", "bad_header",
)  # fmt: skip
CASES = cases("/scope", ANSWERS)

# What is another thing on purpose.  docs/gateways.md has the reasons, under these names.
FRAMING = "framing"
HEAD_FRAMING = "framing of HEAD"
VERSION = "HTTP/1.0"
EXTENSIONS = "extensions"
REASONS = {
    "headers": {"app: headers": "Cookie"},
    "absolute form": {"app: headers": "absolute targets"},
    "forwarded": {"app: client": "trusted proxies", "app: scheme": "trusted proxies"},
    "unusual method": {"*": "methods"},
    "lower case": {"*": "methods"},
    "CONNECT": {"*": "CONNECT"},
    "OPTIONS *": {"*": "OPTIONS *"},
    "expect": {"*": "100 Continue"},
    **{f"{form} headers": {"status": "reason phrases"} for form in FORMS},
    **{f"{form} {name}": {"*": "error pages"} for form in FORMS for name in ("fails", "never_starts", "body_first")},
    **{
        f"{form} {name}": {"*": "broken apps"}
        for form in FORMS
        for name in ("fails_after_start", "too_few", "too_many", "starts_twice", "bad_header")
    },
}


def reason(case: str, name: str, theirs: Any, ours: Any) -> str | None:
    """Why they differ, by a name that the documentation has; None where nobody knows."""
    known = REASONS.get(case, {})
    if name in known or "*" in known:
        return known.get(name) or known["*"]
    if name in ("app: extensions", "app: types"):
        without = {key: value for key, value in (ours or {}).items() if key != "extensions"}
        return EXTENSIONS if name == "app: extensions" or without == theirs else None
    if name in ("framing", "length") and "HEAD" in case:
        return HEAD_FRAMING
    if (name == "length" and (theirs, ours) == (None, 0)) or (name, theirs, ours) == ("framing", "chunked", "length"):
        return FRAMING
    if "1.0" in case and name == "framing" and theirs.startswith("chunked"):
        return VERSION
    return None


@pytest.fixture(scope="module")
def urls() -> Iterator[Urls]:
    with both("mirror_asgi:app", "uvicorn", "--http", "httptools", "--port", "0") as found:
        yield found


@pytest.mark.parametrize("case", CASES)
def test_the_same_but_for_what_is_documented(urls: Urls, case: str) -> None:
    assert unexplained(urls, case, CASES[case], reason) == {}


@pytest.mark.parametrize("name", [name for name in ANSWERS if not name.startswith("too_")])
def test_what_is_said_of_the_length_without_a_body_is_true(urls: Urls, name: str) -> None:
    assert length_is_true(urls[1], name)


def test_every_difference_is_there_and_documented(urls: Urls) -> None:
    seen = reasons(urls, CASES, reason)
    words = {word for known in REASONS.values() for word in known.values()}
    assert seen == words | {FRAMING, HEAD_FRAMING, VERSION, EXTENSIONS}
    assert undocumented(seen, "Compared with uvicorn") == set()
