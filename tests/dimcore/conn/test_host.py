"""What a core is given, and what stands in for it where nothing is."""

from __future__ import annotations

import pytest

from dimcore import AccessLines, Host, Report, UsageError
from dimcore.conn.host import absent_host


def test_a_loop_is_needed() -> None:
    with pytest.raises(TypeError):
        Host()  # type: ignore[call-arg]


def test_what_is_missing_says_so() -> None:
    host = Host(register=print, modify=print, unregister=print)
    with pytest.raises(UsageError, match="no thread pool"):
        host.offload(None, None, None)
    with pytest.raises(UsageError, match="no streams"):
        host.open_stream(None)
    assert host.mute is host.call_soon is host.from_thread is host.runner is host.access_log is host.forwarded is None


def test_an_access_log_is_a_filter() -> None:
    lines = AccessLines("common")
    host = Host(register=print, modify=print, unregister=print, access_log=lines)
    assert host.access_log is lines
    called = Host(register=print, modify=print, unregister=print, access_log=lambda *answer: None)
    assert type(called.access_log).__mro__[1].__name__ == "Filter"


def test_reports_are_printed_where_nobody_takes_them(capfd: pytest.CaptureFixture[str]) -> None:
    host = absent_host()
    host.register(1, 1, print)
    host.report(Report.HANDLER_FAILED, None, LookupError("gone"))
    host.report("a filter failed", None, None)
    err = capfd.readouterr().err
    assert err.startswith("a handler failed\n")
    assert "LookupError: gone" in err
    assert err.endswith("a filter failed\n")


def test_a_report_is_its_text() -> None:
    assert len({str(report) for report in Report}) == len(Report)
    assert Report("a handler failed") is Report.HANDLER_FAILED
