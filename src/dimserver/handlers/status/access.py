"""Who may read what the built-in endpoints tell, and who may make them act."""

from __future__ import annotations

from dimserver.handlers.status.answers import forbidden
from dimserver.handlers.status.names import ADMIN_POOL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dimserver.handlers.status.types import Answer, Request

__all__ = ["may_act", "may_read", "refuse_acting", "refuse_reading"]

# A client that came through a proxy on this machine is not a local one, although its connection is.
# RFC 9110 section 7.6.3 (Via), RFC 7239 (Forwarded), and the two names proxies use in practice.
FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-real-ip")


def may_read(request: Request, token: str | None) -> bool:
    """Whether a request may see who is connected: loopback, the admin listener, or the operator's token.

    Args:
        request: any.
        token: of the settings; None: no token opens anything.
    """
    connection = request.connection
    if connection is None:  # called by this very program, which can read everything anyway
        return True
    if connection.spiral == ADMIN_POOL:
        return True
    # A proxy that introduces its clients may stand elsewhere, and its loopback is not this machine's.
    proxied = getattr(connection, "proxied", False)
    if not proxied and _is_local(connection.address) and not any(name in request.headers for name in FORWARDED):
        return True
    return token is not None and _has_token(request, token)


def may_act(request: Request, token: str | None) -> bool:
    """Whether a request may close connections and drain the server.

    On the admin listener, and with the operator's token if one is set.

    A web page in the operator's browser can post to the admin listener too.  Browsers say so (Origin, RFC 6454
    section 7), and without a token such a request is refused.
    """
    connection = request.connection
    if connection is None:
        return True
    if connection.spiral != ADMIN_POOL:
        return False
    if token is not None:
        return _has_token(request, token)
    return "origin" not in request.headers


def refuse_reading() -> Answer:
    """For whom `may_read` is false."""
    return forbidden("for clients on this machine, on the admin listener, or with the operator's bearer token")


def refuse_acting() -> Answer:
    """For whom `may_act` is false."""
    return forbidden(
        "on the admin listener only, not from web pages, and with the operator's bearer token if one is set"
    )


def _has_token(request: Request, token: str) -> bool:
    given = request.headers.getall("authorization")
    if len(given) != 1:
        return False
    scheme, _, credentials = given[0].partition(" ")
    if scheme.lower() != "bearer":  # RFC 9110 section 11.1: schemes are case-insensitive
        return False

    from hmac import compare_digest

    # As bytes: compare_digest refuses text outside ASCII, and a client may send any.
    return compare_digest(credentials.strip(" ").encode("utf-8", "replace"), token.encode())


def _is_local(address: tuple[str, int] | str | None) -> bool:
    if not isinstance(address, tuple):  # a Unix socket: who may open its path is this machine's affair
        return True
    host = address[0]
    if host == "::1":
        return True
    parts = host.removeprefix("::ffff:").split(".")  # an IPv4 client on a socket for both: RFC 4291 section 2.5.5.2
    return len(parts) == 4 and parts[0] == "127" and all(p.isascii() and p.isdigit() and int(p) < 256 for p in parts)
