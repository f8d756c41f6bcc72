from __future__ import annotations

import pytest

from dimserver import errors


@pytest.mark.parametrize(
    ("kind", "code"),
    [(errors.ConfigError, 2), (errors.LoadError, 2), (errors.StartError, 1), (errors.AppImportError, 1)],
)
def test_exit_codes(kind: type[errors.DimserverError], code: int) -> None:
    assert kind("text").exit_code == code
    assert str(kind("text")) == "text"


def test_a_bad_value_is_a_value_error() -> None:
    assert issubclass(errors.ConfigError, ValueError)
