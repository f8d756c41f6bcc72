"""Who may read what the built-in endpoints tell, and who may make them act."""

from __future__ import annotations

from dimserver.config.types import is_loopback
from dimserver.handlers.status.json_answer import forbidden
from dimserver.handlers.status.names import ADMIN_POOL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from dimserver.handlers.status.types import Answer, Request

__all__ = ["ACTING", "Access", "is_admin", "is_forwarded", "refuse_reading"]

# What proxies and content networks add to a request they pass on.  A client behind one on this machine is not a
# local client, although its connection comes from this machine.
FORWARDING = frozenset(
    {
        "cdn-loop",  # RFC 8586
        "cf-connecting-ip",
        "cf-connecting-ipv6",
        "cf-ray",
        "client-ip",
        "fastly-client-ip",
        "fly-client-ip",
        "forwarded",  # RFC 7239
        "proxy-client-ip",
        "true-client-ip",
        "via",  # RFC 9110 section 7.6.3
        "wl-proxy-client-ip",
        "x-appengine-user-ip",
        "x-azure-clientip",
        "x-azure-socketip",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-envoy-external-address",
        "x-envoy-original-path",
        "x-host",
        "x-originating-ip",
        "x-proxyuser-ip",
        "x-remote-addr",
        "x-remote-ip",
        "x-scheme",
    }
)
DEFAULT_PORTS = {"http": ":80", "https": ":443"}
# For whom `may_act` is false.
ACTING = (
    "on the admin listener, under a name of this machine in Host (localhost, a loopback address, local-hosts), "
    "with the operator's bearer token if one is set; on the main listener with that token alone; "
    "from a web page with the token and of the same origin alone"
)
FORWARDING_FAMILIES = ("x-forwarded", "x-original-", "x-real-")


def is_forwarded(names: Iterable[str]) -> bool:
    """Whether one of these names of fields is one that proxies add."""
    return any(name in FORWARDING or name.startswith(FORWARDING_FAMILIES) for name in (each.lower() for each in names))


class Access:
    """Decides by the operator's settings.

    A local client is one on a loopback connection whose request came through no proxy that can be told, and was sent
    to a name of this machine: a web page can give its own name the address 127.0.0.1 (DNS rebinding), but a browser
    then sends that name as Host.

    Args:
        token: the operator's; None: there is none.
        hosts: names of this machine beside ``localhost`` and the loopback addresses, in lower case.
        local: whether a client of the main listener can be a local one at all.  Not where it listens on anything
            but loopback addresses, and not where proxies are named: they may stand on this machine.

    Thread-safety: safe; nothing changes after construction.
    """

    def __init__(self, token: str | None = None, hosts: Iterable[str] = (), *, local: bool = True) -> None:
        self._token = None if token is None else token.encode()
        self._hosts = frozenset(hosts)
        self._local = local

    def may_read(self, request: Request) -> bool:
        """Whether a request may see what the server does and who is connected.

        On the main listener: with the operator's token; without one, a local client.  On the admin listener's TCP
        port: likewise, but that its address is the operator's choice; on its Unix socket anybody who gets there.
        """
        connection = request.connection
        if connection is None:  # called by this very program, which can read everything anyway
            return True
        if is_admin(request):
            return self._is_operator(request)
        if self._token is not None:
            return self._has_token(request)
        return self._is_local(request)

    def may_act(self, request: Request) -> bool:
        """Whether a request may change what the server does.

        On the admin listener: who may read there; on the main listener, where others' pages and proxies are, with the
        operator's token alone.

        A web page in the operator's browser can post as well.  Browsers say so (Origin, RFC 6454 section 7, and
        Sec-Fetch-Site), and such a request is refused, unless it has the token, which no page is given, and the page
        is of this very origin.
        """
        if request.connection is None:
            return True
        if not (self._is_operator(request) if is_admin(request) else self._has_token(request)):
            return False
        return not _comes_from_page(request) or (self._has_token(request) and _is_same_origin(request))

    def _is_operator(self, request: Request) -> bool:
        """Whether who asks on the admin listener may."""
        connection = request.connection
        if connection is None or not isinstance(connection.address, tuple):
            return True  # a Unix socket: its mode has decided
        if self._token is not None:
            return self._has_token(request)
        return self._names_this_machine(request)

    def _is_local(self, request: Request) -> bool:
        connection = request.connection
        # A proxy that introduces its clients may stand elsewhere, and its loopback is not this machine's.
        if not self._local or connection is None or getattr(connection, "proxied", False):
            return False
        address = connection.address
        if not isinstance(address, tuple) or not is_loopback(address[0]):
            return False
        # What still speaks HTTP/1.0 is a proxy: nginx before 1.29.7 does so by default, and puts our own address into
        # Host.  A later one says nothing that a local client would not: the warning about `--api` is for that.
        if request.http_version == "1.0" or is_forwarded(request.headers):
            return False
        return self._names_this_machine(request)

    def _names_this_machine(self, request: Request) -> bool:
        given = request.headers.getall("host")
        if len(given) != 1 or not self._is_own_host(given[0]):
            return False
        # The authority of an absolute target overrules Host (RFC 9112 section 3.2.2).
        _, absolute, rest = request.raw_target.partition("://")
        return request.raw_target.startswith("/") or (
            bool(absolute) and self._is_own_host(rest.partition("/")[0].partition("?")[0])
        )

    def _is_own_host(self, text: str) -> bool:
        """Whether a value of Host is this machine's, whatever the port."""
        host = text.lower()
        if host.startswith("["):
            host, bracket, port = host[1:].partition("]")
            if not bracket or (port and not port.startswith(":")):
                return False
        else:
            host = host.partition(":")[0]
        return host == "localhost" or is_loopback(host) or host in self._hosts

    def _has_token(self, request: Request) -> bool:
        given = request.headers.getall("authorization")
        if self._token is None or len(given) != 1:
            return False
        scheme, _, credentials = given[0].partition(" ")
        if scheme.lower() != "bearer":  # RFC 9110 section 11.1: schemes are case-insensitive
            return False

        from hmac import compare_digest  # takes as long wherever the two differ

        # As bytes: compare_digest refuses text outside ASCII, and a client may send any.
        return compare_digest(credentials.strip(" ").encode("utf-8", "replace"), self._token)


def _comes_from_page(request: Request) -> bool:
    """Whether a browser says that a page sent it, and not its user."""
    sites = request.headers.getall("sec-fetch-site")
    return "origin" in request.headers or any(site.strip() != "none" for site in sites)


def _is_same_origin(request: Request) -> bool:
    """Whether the page was loaded from where it posts to."""
    if any(site.strip() != "same-origin" for site in request.headers.getall("sec-fetch-site")):
        return False
    origins, hosts = request.headers.getall("origin"), request.headers.getall("host")
    if not origins:
        return True
    scheme, colon, authority = origins[0].partition("://")
    return (
        len(origins) == len(hosts) == 1
        and bool(colon)
        and scheme.lower() in DEFAULT_PORTS
        and _authority(authority, scheme.lower()) == _authority(hosts[0], scheme.lower())
    )


def _authority(text: str, scheme: str) -> str:
    """Host and port; a browser leaves the scheme's own port away."""
    return text.lower().removesuffix(DEFAULT_PORTS[scheme])


def is_admin(request: Request) -> bool:
    """Whether a request came by the admin listener."""
    return request.connection is not None and request.connection.spiral == ADMIN_POOL


def refuse_reading() -> Answer:
    """For whom `may_read` is false."""
    return forbidden(
        "with the operator's bearer token if one is set; else for clients on this machine that name it in Host "
        "(localhost, a loopback address, local-hosts) and come through no proxy, and on the admin listener"
    )
