"""Fixtures of tests of workers: those of their supervisor's."""

from __future__ import annotations

from tests.dimserver.supervisor.conftest import ask, change, seen, shop  # noqa: F401 - fixtures
from tests.support.rounds import quick_rounds  # noqa: F401 - a fixture
