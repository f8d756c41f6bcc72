"""Values that stand somewhere else: `env:NAME` is that of a variable, `file:PATH` that of a file.

They are looked up whenever settings are loaded, so that a reload sees a file that has changed.
"""

from __future__ import annotations

import os
import stat

from dimserver.config.types import KiB
from dimserver.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MAX_VALUE", "References", "is_reference"]

MAX_VALUE = 64 * KiB  # of a file with one value; a certificate chain has 10 KiB at most
ENV = "env:"
FILE = "file:"


def is_reference(value: object) -> bool:
    """Whether a value says where its value is."""
    if not isinstance(value, str):
        return False
    if value.startswith(FILE):
        return len(value) > len(FILE)
    # No name of a variable: a host that is called `env`, with its port.
    return value.startswith(ENV) and value.isascii() and value[len(ENV) :].isidentifier()


class References:
    """Looks up what references stand for.

    Args:
        environ: all variables of the environment.
        directory: absolute; what the relative path of a file starts from.

    Thread-safety: never changes.
    """

    __slots__ = ("_directory", "_environ")

    def __init__(self, environ: Mapping[str, str], directory: str) -> None:
        self._environ = environ
        self._directory = directory

    def look_up(self, reference: str, spelled: str) -> str:
        """The value that a reference stands for.

        Args:
            reference: one, by `is_reference`.
            spelled: what the source calls the setting; for the error message.

        Raises:
            ConfigError: there is no such variable, or the file cannot be read.
        """
        if reference.startswith(ENV):
            name = reference[len(ENV) :]
            try:
                return self._environ[name]
            except KeyError:
                raise ConfigError(f"{spelled}: '{reference}': the variable {name} is not set") from None
        path = os.path.join(self._directory, reference[len(FILE) :])
        try:
            return _contents(path)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ConfigError(f"{spelled}: '{reference:.200}': {reason}: '{path:.200}'") from None


def _contents(path: str) -> str:
    if "\0" in path:  # what `os.open` says to that differs from Python to Python
        raise ValueError("a path has no NUL character")
    try:
        # Not to wait for a writer, if it is a pipe.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise ValueError("no such file") from None
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISDIR(mode):
            raise ValueError("a directory, not a file")
        if not stat.S_ISREG(mode):  # what gives its text only once cannot be read again at a reload
            raise ValueError("not a regular file")
        with open(fd, "rb", closefd=False) as file:
            data = file.read(MAX_VALUE + 1)
    finally:
        os.close(fd)
    if len(data) > MAX_VALUE:
        raise ValueError(f"larger than {MAX_VALUE} bytes, the most a value may have")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    return text.removesuffix("\n").removesuffix("\r")
