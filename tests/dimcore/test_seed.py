"""The seed's names stand for the classes that carry its design, and are the same wherever they are imported from."""

from __future__ import annotations

import dimcore
import dimserver
from dimcore import seed
from dimcore.index.index import Index


def test_the_names_are_the_same_everywhere() -> None:
    for name in seed.__all__:
        assert getattr(dimcore, name) is getattr(dimserver, name) is getattr(seed, name)
        assert name in dimcore.__all__
        assert name in dimserver.__all__
        assert f"`{name}`" in str(seed.__doc__)
    assert seed.DimensionalConnectionIndex is Index


def test_every_name_of_the_core_is_there_once() -> None:
    assert len(set(dimcore.__all__)) == len(dimcore.__all__)
    assert all(hasattr(dimcore, name) for name in dimcore.__all__)
