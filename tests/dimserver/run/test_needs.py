"""What a core asks of its worker."""

from __future__ import annotations

import errno
import os
import pathlib

import pytest

from dimserver.config import Settings
from dimserver.log import Log
from dimserver.net.loop import Loop
from dimserver.run.needs import NO_ROOM_FOR_BODY, Needs


def test_files_for_bodies_have_no_name(tmp_path: pathlib.Path) -> None:
    log, loop = Log("info", 2), Loop(lambda error: None)
    needs = Needs(Settings(spool_dir=str(tmp_path)), loop, log).callables()
    descriptor = needs["open_spool"]()
    assert os.fstat(descriptor).st_nlink == 0
    assert list(tmp_path.iterdir()) == []
    os.close(descriptor)
    loop.close()
    log.close()


def test_only_who_trusts_proxies_pays_for_them() -> None:
    log, loop = Log("info", 2), Loop(lambda error: None)
    assert Needs(Settings(), loop, log).callables()["forwarded"] is None
    assert Needs(Settings(trusted_proxies="10.0.0.0/8"), loop, log).callables()["forwarded"] is not None
    loop.close()
    log.close()


def test_a_full_disk_is_told_of_once(capfd: pytest.CaptureFixture[str]) -> None:
    log, loop = Log("info", 2), Loop(lambda error: None)
    report = Needs(Settings(), loop, log).callables()["report"]
    for _ in range(3):
        report(NO_ROOM_FOR_BODY, None, OSError(errno.ENOSPC, "whatever"))
    report("something else", None, None)
    loop.close()
    log.close()
    err = capfd.readouterr().err
    assert err.count("a request body could not be kept: No space left on device; answered 503 until there is room") == 1
    assert err.count("something else") == 1
