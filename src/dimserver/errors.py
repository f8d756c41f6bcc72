"""Errors of the shell: what an operator or an app's author did wrong.

Each carries the exit code the command line ends with, so that `cli` needs no
list of cases.  Their text is one line, complete without a traceback.
"""

from __future__ import annotations

__all__ = [
    "AppImportError",
    "AppStartError",
    "ConfigError",
    "DimserverError",
    "HandlerError",
    "LoadError",
    "StartError",
]


class DimserverError(Exception):
    """Base of every error of this package.

    Attributes:
        exit_code: what a process that ends because of it returns: 2 for wrong
            usage, 1 for a right usage that the system or the app refused.
    """

    exit_code = 1


class ConfigError(DimserverError, ValueError):
    """A setting, option or command that cannot be; names it, its value and what is allowed."""

    exit_code = 2


class HandlerError(DimserverError, TypeError):
    """A handler that cannot be one."""

    exit_code = 2


class LoadError(DimserverError):
    """APP names something that is not there, or that cannot be served."""

    exit_code = 2


class AppImportError(DimserverError):
    """The app's own code raised while it was imported.

    The fault is inside the user's program, so its author needs the whole
    traceback: `__cause__` is the exception, its traceback cut to begin at the
    first frame of the user's code.
    """


class AppStartError(DimserverError):
    """The app said that it cannot start, or raised when it was asked to; `__cause__` is the exception, if any."""


class StartError(DimserverError, SystemExit):
    """The system refused what is needed to serve: port in use, no permission, …

    Where nobody catches it, the program ends with its one line and exit code 1:
    who starts ``python shop.py`` twice has made no mistake that a traceback explains.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = f"dimserver: {message}"
