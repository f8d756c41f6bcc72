"""What every kind has in common, and that every kind has it."""

from __future__ import annotations

import pytest

from dimserver.config import types as kinds
from dimserver.config.types import Kind

EVERY = [kind for name in kinds.__all__ if isinstance(kind := getattr(kinds, name), type) and kind is not Kind]


@pytest.mark.parametrize("kind", EVERY)
def test_every_kind_describes_itself(kind: type[Kind]) -> None:
    assert issubclass(kind, Kind)
    assert kind.type != Kind.type
    assert kind.typed
    assert set(kind.typed) <= {str, int, float, bool, list}  # what TOML has


def test_a_kind_of_ones_own_reads_text_and_nothing_else() -> None:
    class Word(Kind):
        optional = True

        def parse(self, text: str) -> object:
            return text.upper()

    assert Word().read("a") == "A"
    assert Word().read("") is Word().read(None) is None
    assert Word().resolve("a", "/srv") == "a"
    with pytest.raises(ValueError, match="3"):
        Word().read(3)
