"""A browser for the tests that need one; they are skipped where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.dimserver.conftest import child, serve  # noqa: F401 - fixtures


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A `Chromium`; ``browser.page(url)`` opens a tab."""
    from tests.browser.chromium import PROGRAM, Chromium

    if PROGRAM is None:
        pytest.skip("no chromium")
    with Chromium(tmp_path_factory.mktemp("browser")) as chromium:
        yield chromium
