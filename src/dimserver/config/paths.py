"""The directories that settings name, looked at before anything is bound."""

from __future__ import annotations

import os

from dimserver.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from dimserver.config.settings import Settings

__all__ = ["check_paths"]


def check_paths(settings: Settings, origins: Mapping[str, str] | None = None) -> None:
    """Look at the directories that settings name, before anything is bound.

    Args:
        settings: all of them.
        origins: by attribute name, what a message calls the setting, where that is not its option.

    Raises:
        ConfigError: not there, not a directory, or not readable.
    """
    origins = origins or {}
    if settings.static is not None:
        _check_directory(origins.get("static", "--static"), settings.static)
    if settings.spool_dir is not None:
        spelled = origins.get("spool_dir", "--spool-dir")
        _check_directory(spelled, settings.spool_dir)
        if not os.access(settings.spool_dir, os.W_OK):
            raise ConfigError(f"{spelled}: no permission to write to this directory: '{settings.spool_dir}'")


def _check_directory(spelled: str, path: str) -> None:
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
        raise ConfigError(f"{spelled}: {trouble}: '{path}'")
