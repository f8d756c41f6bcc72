"""Conditional requests (RFC 9110 section 13) and the dates they use (5.6.7)."""

from __future__ import annotations

import re
import time
from functools import lru_cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Headers(Protocol):
        """The part of a request's headers that is read here."""

        def get(self, name: str) -> str | None: ...
        def getall(self, name: str) -> list[str]: ...


__all__ = ["evaluate", "format_date", "range_applies", "read_date"]

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_TAG = re.compile(r'(W/)?("[^"]*")')
_DAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_CLOCK = r"([0-9]{2}):([0-9]{2}):([0-9]{2})"
_FIXDATE = re.compile(rf"{_DAY}, ([0-9]{{2}}) ([A-Z][a-z]{{2}}) ([0-9]{{4}}) {_CLOCK} GMT")
_RFC850 = re.compile(
    rf"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, ([0-9]{{2}})-([A-Z][a-z]{{2}})-([0-9]{{2}}) {_CLOCK} GMT"
)
_ASCTIME = re.compile(rf"{_DAY} ([A-Z][a-z]{{2}}) ([0-9 ][0-9]) {_CLOCK} ([0-9]{{4}})")


@lru_cache(1024)
def format_date(seconds: int) -> str:
    """A time as IMF-fixdate, for example ``"Sun, 06 Nov 1994 08:49:37 GMT"``.

    Args:
        seconds: since 1970, UTC.
    """
    # Not strftime: names of days and months would be in the language of the locale.
    at = time.gmtime(seconds)
    return (
        f"{DAYS[at.tm_wday]}, {at.tm_mday:02d} {MONTHS[at.tm_mon - 1]} {at.tm_year:04d} "
        f"{at.tm_hour:02d}:{at.tm_min:02d}:{at.tm_sec:02d} GMT"
    )


@lru_cache(256)
def read_date(text: str) -> int | None:
    """Seconds since 1970 of a date in any of the three forms of RFC 9110 5.6.7; ``None`` if it is none."""
    from datetime import UTC, datetime

    if match := _FIXDATE.fullmatch(text):
        day, month, year, *clock = match.groups()
    elif match := _RFC850.fullmatch(text):
        day, month, year, *clock = match.groups()
        # Two digits: not more than 50 years ahead, else the century before.
        this_year = time.gmtime().tm_year
        full = this_year // 100 * 100 + int(year)
        year = str(full - 100 if full > this_year + 50 else full)
    elif match := _ASCTIME.fullmatch(text):
        month, day, *clock, year = match.groups()
    else:
        return None
    hour, minute, second = map(int, clock)
    if second == 60:
        second = 59  # a leap second is in the grammar but not in datetime
    try:
        moment = datetime(int(year), MONTHS.index(month) + 1, int(day), hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return int(moment.timestamp())


def evaluate(headers: Headers, etag: str, modified: int) -> int | None:
    """Decide a GET or HEAD by its preconditions, in the order of RFC 9110 13.2.2 (If-Range aside).

    Args:
        headers: of the request.
        etag: the strong tag of what would be sent, with its quotes.
        modified: seconds since 1970.

    Returns:
        412 or 304, or ``None``: go on.
    """
    if headers.get("if-match") is not None:
        if not _tags_match(headers.getall("if-match"), etag, weak=False):
            return 412
    elif (date := _date_of(headers, "if-unmodified-since")) is not None and modified > date:
        return 412
    if headers.get("if-none-match") is not None:
        if _tags_match(headers.getall("if-none-match"), etag, weak=True):
            return 304
    elif (date := _date_of(headers, "if-modified-since")) is not None and modified <= date:
        return 304
    return None


def range_applies(headers: Headers, etag: str, modified: int, now: float) -> bool:
    """Whether If-Range lets a Range through (RFC 9110 13.1.5).

    Args:
        headers: of the request.
        etag: the strong tag.
        modified: what Last-Modified says, seconds since 1970.
        now: seconds since 1970.
    """
    value = headers.get("if-range")
    if value is None:
        return True
    if len(headers.getall("if-range")) > 1:  # nobody knows which one is meant: the whole file is always right
        return False
    if value.startswith(('"', "W/")):
        return value == etag  # strong comparison: a weak tag never equals
    # A date is a strong validator only once its second is over (8.8.2.2), and must then be the very same.
    return read_date(value) == modified and now - modified > 1


def _tags_match(values: list[str], etag: str, *, weak: bool) -> bool:
    value = ", ".join(values)
    if value == "*":
        return True
    return any(tag == etag and (weak or not mark) for mark, tag in _TAG.findall(value))


def _date_of(headers: Headers, name: str) -> int | None:
    """The date in a field; ``None`` without one, or when it is no date or there are two (both are ignored)."""
    value = headers.get(name)
    if value is None or len(headers.getall(name)) > 1:
        return None
    return read_date(value)
