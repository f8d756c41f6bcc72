"""What a core asks of its worker."""

from __future__ import annotations

import errno
import os
import pathlib

import pytest

from dimcore import PeerError, Report
from dimcore.errors import ClientRefused
from dimserver.config import Settings
from dimserver.log import Log
from dimserver.net.loop import Loop
from dimserver.worker.core_hooks import CoreHooks


def test_files_for_bodies_have_no_name(tmp_path: pathlib.Path) -> None:
    log, loop = Log("info", 2), Loop(lambda error: None)
    needs = CoreHooks(Settings(spool_dir=str(tmp_path)), loop, log).host(None, None)
    descriptor = needs.open_spool()
    assert os.fstat(descriptor).st_nlink == 0
    assert list(tmp_path.iterdir()) == []
    os.close(descriptor)
    loop.close()
    log.close()


def test_answers_may_wait_for_the_end_of_a_round_where_the_loop_says_when_that_is() -> None:
    log, loop = Log("info", 2), Loop(lambda error: None)
    assert CoreHooks(Settings(), loop, log).host(None, None).call_soon == loop.call_soon
    loop.close()
    log.close()


def test_only_who_trusts_proxies_pays_for_them() -> None:
    log, loop = Log("info", 2), Loop(lambda error: None)
    assert CoreHooks(Settings(), loop, log).host(None, None).forwarded is None
    assert CoreHooks(Settings(trusted_proxies="10.0.0.0/8"), loop, log).host(None, None).forwarded is not None
    loop.close()
    log.close()


def test_what_may_come_a_thousand_times_a_second_is_told_of_once(capfd: pytest.CaptureFixture[str]) -> None:
    log, loop = Log("info", 2), Loop(lambda error: None)
    report = CoreHooks(Settings(), loop, log).host(None, None).report
    for _ in range(3):
        report(Report.BODY_NOT_KEPT, None, OSError(errno.ENOSPC, "whatever"))
        report(Report.NOT_INTRODUCED, None, PeerError("192.0.2.7 is no trusted proxy"))
    report(Report.HANDLER_FAILED, None, None)
    loop.close()
    log.close()
    err = capfd.readouterr().err
    assert err.count("a request body could not be kept: No space left on device; answered 503 until there is room") == 1
    assert err.count("warning: closed a connection that no trusted proxy introduced: 192.0.2.7 is no trusted") == 1
    assert err.count("a handler failed") == 1


def test_clients_without_a_place_are_told_of_by_limit(capfd: pytest.CaptureFixture[str]) -> None:
    log, loop = Log("info", 2), Loop(lambda error: None)
    report = CoreHooks(Settings(max_http=7), loop, log).host(None, None).report
    for number in range(3):
        report(Report.CLIENTS_REFUSED, None, ClientRefused("max-http", f"192.0.2.{number}"))
    report(Report.CLIENTS_REFUSED, None, ClientRefused("max-per-address", "192.0.2.9"))
    loop.close()
    log.close()
    first, second = capfd.readouterr().err.splitlines()
    assert first.endswith("warning: clients are refused with 503: max-http (7) is reached, last by 192.0.2.0")
    assert "max-per-address (" in second
    assert second.endswith("last by 192.0.2.9")
