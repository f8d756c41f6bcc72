"""Memory that is lent: it can be made and given back by itself."""

from __future__ import annotations

import pytest

from dimcore import ResponseError
from dimcore.conn.scratch import Scratch


def test_it_stands_by_itself() -> None:
    for _ in range(100):
        Scratch("name")


def test_a_server_name_that_cannot_be_sent() -> None:
    with pytest.raises(ResponseError, match="longer than 30 bytes"):
        Scratch("x" * 40)
