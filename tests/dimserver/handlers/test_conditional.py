from __future__ import annotations

import locale
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimserver.handlers.conditional import evaluate, format_date, range_applies, read_date

ETAG = '"abc"'
THEN = 784111777
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
EARLIER = "Sun, 06 Nov 1994 08:49:36 GMT"
LATER = "Sun, 06 Nov 1994 08:49:38 GMT"


class Headers:
    """As much of a request's headers as is read; a list is a repeated field."""

    def __init__(self, **fields: str | list[str]) -> None:
        self.fields = {
            name.replace("_", "-"): value if isinstance(value, list) else [value] for name, value in fields.items()
        }

    def get(self, name: str) -> str | None:
        return self.fields[name][0] if name in self.fields else None

    def getall(self, name: str) -> list[str]:
        return self.fields.get(name, [])


def test_a_date_is_written_in_one_form() -> None:
    assert format_date(THEN) == DATE
    assert format_date(0) == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert format_date(1709164800) == "Thu, 29 Feb 2024 00:00:00 GMT"


def test_a_date_is_not_in_the_language_of_the_locale() -> None:
    before = locale.setlocale(locale.LC_TIME)
    try:
        for name in ("de_DE.UTF-8", "fr_FR.UTF-8", "C"):
            try:
                locale.setlocale(locale.LC_TIME, name)
                break
            except locale.Error:
                continue
        format_date.cache_clear()
        assert format_date(THEN) == DATE
    finally:
        locale.setlocale(locale.LC_TIME, before)


@pytest.mark.parametrize(
    "text", [DATE, "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Mon, 06 Nov 1994 08:49:37 GMT"]
)
def test_a_date_is_read_in_three_forms(text: str) -> None:
    assert read_date(text) == THEN


@given(st.integers(0, 253402300799))
def test_a_date_comes_back(seconds: int) -> None:
    assert read_date(format_date(seconds)) == seconds


def test_two_digits_of_a_year_are_never_far_ahead() -> None:
    this_year = time.gmtime().tm_year
    for ahead, expected in ((0, this_year), (50, this_year + 50), (51, this_year - 49)):
        moment = read_date(f"Sunday, 06-Nov-{(this_year + ahead) % 100:02d} 08:49:37 GMT")
        assert moment is not None
        if this_year // 100 == (this_year + ahead) // 100:
            assert time.gmtime(moment).tm_year == expected


def test_a_leap_second_is_read() -> None:
    assert read_date("Sat, 31 Dec 2016 23:59:60 GMT") == read_date("Sat, 31 Dec 2016 23:59:59 GMT")


@pytest.mark.parametrize(
    "text",
    [
        "", "yesterday", "784111777", DATE.lower(), DATE + " ", " " + DATE, DATE.replace("GMT", "UTC"),
        DATE.replace("GMT", "+0000"), DATE.replace("06", "6"), DATE.replace("Nov", "Foo"), DATE.replace("06", "31"),
        DATE.replace("06", "00"), DATE.replace("08:", "24:"), DATE.replace(":37", ":61"), DATE.replace("1994", "0000"),
        "Sun, 29 Feb 2023 00:00:00 GMT", "Sun Nov 6 08:49:37 1994", "Sun, 06-Nov-94 08:49:37 GMT", f"{DATE}, {DATE}",
    ],
)  # fmt: skip
def test_what_is_no_date(text: str) -> None:
    assert read_date(text) is None


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (Headers(), None),
        # If-Match: strong
        (Headers(if_match=ETAG), None),
        (Headers(if_match="*"), None),
        (Headers(if_match='"x", "abc"'), None),
        (Headers(if_match=['"x"', '"abc"']), None),
        (Headers(if_match='"x"'), 412),
        (Headers(if_match='W/"abc"'), 412),
        (Headers(if_match="abc"), 412),
        (Headers(if_match=""), 412),
        (Headers(if_match='"a,b", "abc"'), None),
        # If-Unmodified-Since, only without If-Match
        (Headers(if_unmodified_since=DATE), None),
        (Headers(if_unmodified_since=LATER), None),
        (Headers(if_unmodified_since=EARLIER), 412),
        (Headers(if_unmodified_since="no date"), None),
        (Headers(if_unmodified_since=[EARLIER, EARLIER]), None),
        (Headers(if_match=ETAG, if_unmodified_since=EARLIER), None),
        (Headers(if_match='"x"', if_unmodified_since=LATER), 412),
        # If-None-Match: weak
        (Headers(if_none_match=ETAG), 304),
        (Headers(if_none_match='W/"abc"'), 304),
        (Headers(if_none_match="*"), 304),
        (Headers(if_none_match='"x", W/"y" ,"abc"'), 304),
        (Headers(if_none_match=['"x"', '"abc"']), 304),
        (Headers(if_none_match='"x,\\"abc"'), None),
        (Headers(if_none_match='"x"'), None),
        (Headers(if_none_match="abc"), None),
        (Headers(if_none_match='"ABC"'), None),
        # If-Modified-Since, only without If-None-Match
        (Headers(if_modified_since=DATE), 304),
        (Headers(if_modified_since=LATER), 304),
        (Headers(if_modified_since=EARLIER), None),
        (Headers(if_modified_since="no date"), None),
        (Headers(if_modified_since=[DATE, DATE]), None),
        (Headers(if_none_match='"x"', if_modified_since=LATER), None),
        (Headers(if_none_match=ETAG, if_modified_since=EARLIER), 304),
        # the first pair before the second
        (Headers(if_match=ETAG, if_none_match=ETAG), 304),
        (Headers(if_match='"x"', if_none_match=ETAG), 412),
        (Headers(if_unmodified_since=EARLIER, if_modified_since=LATER), 412),
        (Headers(if_unmodified_since=DATE, if_modified_since=DATE), 304),
    ],
)
def test_preconditions_in_order(headers: Headers, expected: int | None) -> None:
    assert evaluate(headers, ETAG, THEN) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (Headers(), True),
        (Headers(if_range=ETAG), True),
        (Headers(if_range='"x"'), False),
        (Headers(if_range='W/"abc"'), False),
        (Headers(if_range=DATE), True),
        (Headers(if_range=EARLIER), False),
        (Headers(if_range=LATER), False),
        (Headers(if_range="abc"), False),
        (Headers(if_range=""), False),
    ],
)
def test_a_range_goes_on_with_what_was_begun(headers: Headers, expected: bool) -> None:
    assert range_applies(headers, ETAG, THEN, THEN + 100.0) is expected


def test_two_things_that_were_begun() -> None:
    class Twice(Headers):
        def getall(self, name: str) -> list[str]:
            return super().getall(name) * 2

    assert range_applies(Headers(if_range=ETAG), ETAG, THEN, THEN + 100.0)
    assert not range_applies(Twice(if_range=ETAG), ETAG, THEN, THEN + 100.0)


def test_a_date_within_its_own_second_is_no_strong_validator() -> None:
    assert not range_applies(Headers(if_range=DATE), ETAG, THEN, THEN + 0.9)
    assert range_applies(Headers(if_range=ETAG), ETAG, THEN, THEN + 0.9)


def test_a_long_list_of_tags_is_read_once() -> None:
    start = time.perf_counter()
    assert evaluate(Headers(if_none_match='W/"x' * 20_000), ETAG, THEN) is None
    assert evaluate(Headers(if_none_match='"x",' * 20_000 + ETAG), ETAG, THEN) == 304
    assert time.perf_counter() - start < 1
