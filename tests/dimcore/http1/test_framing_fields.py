"""What nobody but the server may say in an answer."""

from __future__ import annotations

from dimcore.http1.framing_fields import FRAMING_FIELDS, is_framing_field


def test_fields_of_the_connection_and_of_framing() -> None:
    for name in ("content-length", "transfer-encoding", "connection", "trailer", "date"):
        assert is_framing_field(name)
        assert is_framing_field(name.title())
    for name in ("server", "content-type", "cache-control", "via"):
        assert not is_framing_field(name)
    assert all(name == name.lower() for name in FRAMING_FIELDS)
