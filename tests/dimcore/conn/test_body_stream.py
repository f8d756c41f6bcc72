"""What a body that arrives is held in until it is taken; taking it is tested with those that do."""

from __future__ import annotations

import pytest

from dimcore import UsageError
from dimcore.conn.body_stream import ArrivingBody


def test_an_intake_is_made_by_a_conversation() -> None:
    with pytest.raises(UsageError):
        ArrivingBody()
