"""Rows of the table: where the server listens, and what it serves."""

from __future__ import annotations

from dimserver.config.setting import Setting
from dimserver.config.types import (
    Charset,
    Choice,
    Endpoint,
    FieldName,
    Flag,
    Hosts,
    Integer,
    Mode,
    Name,
    Networks,
    Path,
    SocketPath,
    Token,
    UrlPath,
)

__all__ = ["SERVING"]

LISTEN = "Where to listen"
PROXIES = "Behind proxies"
APP = "What to serve"

SERVING: tuple[Setting, ...] = (
    Setting(
        LISTEN, "host", Name(), "127.0.0.1",
        "Address to listen on.",
        "Nothing is reachable from outside until an operator says so.",
        fixed=True,
    ),
    Setting(
        LISTEN, "port", Integer(0, 65535, zero="the system picks one, which is printed"), 8080,
        "TCP port to listen on.",
        "The usual alternative to 80, which only root may bind.",
        fixed=True,
    ),
    Setting(
        LISTEN, "uds", SocketPath(), None,
        "Listen on a Unix socket at this path instead of host and port.",
        "For a proxy on the same machine; no TCP port is opened.",
        fixed=True,
    ),
    Setting(
        LISTEN, "uds-mode", Mode(), 0o666,
        "Permissions of the Unix socket; to connect takes the permission to write.",
        "A proxy that runs as another user gets in, as with uvicorn (0666), gunicorn (0777) and a port on loopback.",
        fixed=True,
    ),
    Setting(
        LISTEN, "fd", Integer(0, 1_048_576, optional=True), None,
        "Listen on this inherited descriptor, a bound stream socket, instead of host and port.",
        "For a parent that binds a privileged port, or keeps the socket open between restarts.",
        fixed=True,
    ),
    Setting(
        LISTEN, "backlog", Integer(1, 65535, "connections"), 2048,
        "Connections the kernel may queue before they are accepted.",
        "A burst of clients must not be refused while one batch is served; Linux cuts it to net.core.somaxconn.",
    ),
    Setting(
        LISTEN, "admin", Endpoint(), None,
        "A second listener for operators: its connections are the admin pool and may read every built-in endpoint. "
        "Another address than loopback needs api-token.",
        "Off: one more open port is an operator's decision.",
        fixed=True,
    ),
    Setting(
        LISTEN, "admin-mode", Mode(), 0o600,
        "Permissions of the admin listener's Unix socket.",
        "Who may connect may read and control everything: nobody but the server's own user and root, at first.",
        fixed=True,
    ),
    Setting(
        APP, "interface", Choice("auto", "native", "wsgi", "asgi"), "auto",
        "Calling convention of APP; auto looks at the object.",
        "The object itself says what it is.",
    ),
    Setting(
        APP, "factory", Flag(), False,
        "APP names a callable without arguments that makes the app.",
        "Off: a callable may be the app itself.",
    ),
    Setting(
        APP, "root-path", UrlPath(), "",
        "Path below which a proxy has the app, and which it takes off before it asks: "
        "the app's SCRIPT_NAME (WSGI) or root_path (ASGI).",
        "None: most apps have a host of their own.",
    ),
    Setting(
        APP, "lifespan", Choice("auto", "on", "off"), "auto",
        "Whether an ASGI app is told of start and end; with auto one that raises at this is taken for one that does "
        "not speak it, with on it has failed.",
        "The protocol asks a server to go on with an app that does not know of it.",
    ),
    Setting(
        APP, "asgi-pathsend", Flag(), False,
        "Offer ASGI apps the extension http.response.pathsend: the kernel sends files that the app names.",
        "Off: frameworks use it wherever it is offered, and middleware that does not know it fails or is skipped.",
    ),
    Setting(
        APP, "stream-bodies", Flag(), False,
        "Call a WSGI app on a thread before a large or chunked body is there, and hand the body on as it arrives.",
        "Off: the body is received first, in memory and then in a file, so that slow uploads hold no threads.",
    ),
    Setting(
        APP, "static", Path("DIR"), None,
        "Serve the files of this directory to GET and HEAD.",
        "Off: no file is published by accident.",
    ),
    Setting(
        APP, "static-charset", Charset(), None,
        "Charset that the text files of static are said to be in, as in text/html; charset=utf-8.",
        "None: a file may say itself what it is in, and the header would overrule it.",
    ),
    Setting(
        APP, "api", Flag(), False,
        "Serve the built-in endpoints under /api on the main listener also when there is an APP.",
        "An app's paths are its own; without an APP, and on the admin listener, they are there anyway.",
    ),
    Setting(
        APP, "api-token", Token(), None,
        "Bearer token of the operator: whoever has it may read every built-in endpoint and change what they list, and "
        "nobody else may; on the admin listener's TCP port it is asked for in every request but /healthz and /readyz.",
        "Off: local clients and the admin listener may. Give it in a file or variable: all users see a command line.",
    ),
    Setting(
        APP, "api-token-file", Path("FILE"), None,
        "Take api-token from the first line of this file, at the start and at each reload.",
        "For a secret that a service manager or an orchestrator mounts as a file.",
    ),
    Setting(
        APP, "local-hosts", Hosts(), (),
        "Names by which clients on this machine reach the server, beside localhost and the loopback addresses: a "
        "request with another Host is no local one.",
        "None: a web page can give its own name the address 127.0.0.1, and a browser then sends that name as Host.",
    ),
    Setting(
        PROXIES, "trusted-proxies", Networks(), (),
        "Proxies whose word on the client's address, scheme and request id counts; unix: through a Unix socket.",
        "None: what a client writes into these headers is not to be believed.",
    ),
    Setting(
        PROXIES, "proxy-protocol", Flag(), False,
        "Each connection to the main listener begins with a PROXY header, version 1 or 2, of a proxy named by "
        "trusted-proxies; all others are closed.",
        "Off: without a proxy that sends it nobody could connect; and it is never optional, or a client could send it.",
    ),
    Setting(
        PROXIES, "forwarded-headers", Choice("x-forwarded", "forwarded"), "x-forwarded",
        "What trusted proxies set: X-Forwarded-For, -Proto and -Host, or Forwarded (RFC 7239); the other is ignored.",
        "Most proxies set X-Forwarded and let a client's Forwarded pass: to read both would be to believe the client.",
    ),
    Setting(
        PROXIES, "forwarded-host", Flag(), False,
        "Take the host a request is for from X-Forwarded-Host, or host of Forwarded, of a trusted proxy: request.host, "
        "HTTP_HOST and SERVER_NAME (WSGI), the host field and server (ASGI).",
        "Off: many proxies let a client's own X-Forwarded-Host pass, and apps make links of it, in mails too.",
    ),
    Setting(
        PROXIES, "request-id-header", FieldName(), None,
        "Take request_id from this header of a trusted proxy, mostly X-Request-Id; else the server makes one.",
        "Off: an id of its own is unique.",
    ),
)  # fmt: skip
