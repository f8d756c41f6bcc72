"""Of all tests."""

from __future__ import annotations

import gc


def pytest_collection_finish() -> None:
    """Thousands of collected tests are no garbage: a collection, which many of them ask for, need not look at them."""
    gc.collect()
    gc.freeze()
