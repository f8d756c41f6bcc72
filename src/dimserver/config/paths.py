"""The directories that settings name, looked at before anything is bound."""

from __future__ import annotations

import os

from dimserver.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dimserver.config.settings import Settings

__all__ = ["check_paths"]


def check_paths(settings: Settings) -> None:
    """Look at the directories that settings name, before anything is bound.

    Raises:
        ConfigError: not there, not a directory, or not readable.
    """
    if settings.static is not None:
        _check_directory("--static", settings.static)
    if settings.spool_dir is not None:
        _check_directory("--spool-dir", settings.spool_dir)
        if not os.access(settings.spool_dir, os.W_OK):
            raise ConfigError(f"--spool-dir: no permission to write to this directory: '{settings.spool_dir}'")


def _check_directory(option: str, path: str) -> None:
    trouble = ""
    try:
        os.scandir(path).close()
        if not os.access(path, os.X_OK):
            trouble = "no permission to open the files of this directory"
    except FileNotFoundError:
        trouble = "no such directory"
    except NotADirectoryError:
        trouble = "not a directory"
    except PermissionError:
        trouble = "no permission to read this directory"
    except OSError as error:
        trouble = error.strerror or "cannot be read"
    if trouble:
        raise ConfigError(f"{option}: {trouble}: '{path}'")
