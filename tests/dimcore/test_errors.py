"""Whose fault an error is, and what it says."""

from __future__ import annotations

import pickle

import pytest

from dimcore import errors

EVERY = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("kind", EVERY)
def test_it_is_of_one_family(kind: type[Exception]) -> None:
    assert issubclass(kind, errors.DimcoreError)
    assert not (issubclass(kind, errors.PeerError) and issubclass(kind, errors.UsageError))
    assert str(kind("what is wrong")) == "what is wrong"


@pytest.mark.parametrize("kind", EVERY)
def test_it_can_be_sent_to_another_process(kind: type[Exception]) -> None:
    error = pickle.loads(pickle.dumps(kind("what is wrong")))  # noqa: S301 - made here
    assert type(error) is kind
    assert str(error) == "what is wrong"


def test_the_peers_fault_has_a_status() -> None:
    assert errors.BadRequest("a").status == 400
    assert errors.PeerError("a", 431).status == 431


def test_they_are_caught_as_what_python_would_raise() -> None:
    for kind in (errors.BadRequest, errors.InvalidCoordinate, errors.RouteConflict, errors.ResponseError):
        with pytest.raises(ValueError, match="a"):
            raise kind("a")
    with pytest.raises(KeyError):
        raise errors.UnknownPoint("a")
