"""The operator's token, and what a server must not do without one."""

from __future__ import annotations

from dimserver.config.settings import BY_ATTRIBUTE
from dimserver.config.types import KiB, is_loopback
from dimserver.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from dimserver.config.settings import Settings

__all__ = ["api_warning", "check_admin", "operator_token"]

MOST = 4 * KiB  # of a file with a token


def operator_token(settings: Settings, origins: Mapping[str, str] | None = None) -> str | None:
    """The operator's token: `api_token`, or what the file named by `api_token_file` holds now.

    Args:
        settings: all of them.
        origins: by attribute name, what a message calls the setting, where that is not its option.

    Raises:
        ConfigError: the file cannot be read, or holds no token.
    """
    path = settings.api_token_file
    if path is None:
        return settings.api_token
    spelled = (origins or {}).get("api_token_file", "--api-token-file")
    try:
        with open(path, "rb") as file:
            raw = file.read(MOST + 1)
    except OSError as error:
        raise ConfigError(f"{spelled}: {error.strerror or 'cannot be read'}: '{path}'") from None
    lines = raw.decode("utf-8", "replace").strip().splitlines()
    kind = BY_ATTRIBUTE["api_token"].kind
    try:
        if len(lines) != 1 or len(raw) > MOST:
            raise ValueError
        return str(kind.read(lines[0].strip()))
    except ValueError:
        raise ConfigError(f"{spelled}: '{path}' does not hold a token; allowed: one line of {kind.allowed()}") from None


def check_admin(settings: Settings, origins: Mapping[str, str] | None = None) -> None:
    """Refuse an admin listener that anybody on a network could use.

    Args:
        settings, origins: as for `operator_token`.

    Raises:
        ConfigError: it has another address than loopback and there is no token; or as for `operator_token`.
    """
    token = operator_token(settings, origins)
    if not isinstance(settings.admin, tuple) or token is not None:
        return
    host = settings.admin[0]
    if not (host.lower() == "localhost" or is_loopback(host)):
        shown = BY_ATTRIBUTE["admin"].kind.show(settings.admin)
        spelled = (origins or {}).get("admin", "--admin")
        raise ConfigError(
            f"{spelled}: anybody who reaches {shown} could stop the server; set api-token, "
            "or give a loopback address or the path of a Unix socket"
        )


def api_warning(app: bool, settings: Settings) -> str | None:
    """What is to be said at the start of built-in endpoints beside an app that no token guards; None: nothing.

    Args:
        app: whether there is one.
        settings: all of them.
    """
    if not (app and settings.api) or settings.api_token is not None or settings.api_token_file is not None:
        return None
    return (
        "--api without --api-token: clients on this machine may read /api/connections, and so may strangers behind a "
        "proxy on this machine that adds no header; set --api-token, or use --admin in place of --api"
    )
