"""What the options of other servers are called here.

Whoever comes from gunicorn, uvicorn, hypercorn, granian or daphne writes their options first.  The nearest spelling
among ours often means something else (`--ssl-keyfile`, `--log-file`), so each of theirs has its answer in a table,
and any other word gets a hint only where it is plainly a slip of the fingers.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["FOREIGN", "advice", "near"]

TLS = "dimserver speaks plain HTTP: let a proxy in front speak TLS, and name it with --trusted-proxies"
HTTP2 = "dimserver speaks HTTP/1.1: let a proxy in front speak HTTP/2"
LISTEN = "use --host and --port, --uds for a Unix socket, or --fd"
PROXIES = "use --trusted-proxies"
RECYCLE = "use --recycle-requests; it is spread out by itself"
JITTER = "none is needed: --recycle-requests is spread out by itself"
FORMAT = "use --access-log common, combined or json"
LOGGERS = "use --log-format, --log-level and --log-file, or a handler on the logger 'dimserver' of Python's logging"
RELOAD = "--reload watches the current directory by itself"
USER = "start it as that user, with User= of systemd or setpriv"
SYSLOG = "both logs go to standard output and standard error, which systemd and containers collect"
STATSD = "use /metrics on the --admin listener"
AUTOMATIC = "there is nothing to choose: dimserver has one"
STRICT = "malformed requests are always refused"
DIRECTORY = "the current directory is importable: change into it first, or set PYTHONPATH"
ENVIRONMENT = "set variables before the start; those of dimserver begin with DIMSERVER_"
PING = "use --ws-ping and --ws-timeout"
BACKGROUND = "a service manager keeps it in the background; see docs/deployment.md"
APP_AFTER_FORK = "each worker imports the app by itself, so that a reload has new code"

# Sorted by what they are about; the same words in several servers mean the same unless two answers are given in one.
FOREIGN: dict[str, str] = {
    # where to listen
    "bind": LISTEN, "b": LISTEN, "insecure-bind": LISTEN, "unix-socket": "use --uds", "endpoint": LISTEN,
    "p": "use --port for the port, --pidfile for the file with the process id", "u": USER,
    "quic-bind": "dimserver speaks HTTP/1.1 over TCP: let a proxy in front speak HTTP/3",
    "uds-permissions": "use --uds-mode", "reuse-port": "workers share a port by themselves",
    "http": AUTOMATIC, "h11-max-incomplete-event-size": "use --limit-head", "http-parser": AUTOMATIC,
    "http-protocols": HTTP2, "protocol": HTTP2, "uwsgi-allow-from": "dimserver speaks HTTP, not uwsgi's protocol",
    # TLS and HTTP/2
    **dict.fromkeys((
        "ssl-keyfile", "ssl-certfile", "ssl-keyfile-password", "ssl-version", "ssl-cert-reqs", "ssl-ca-certs",
        "ssl-ciphers", "ssl-certificate", "ssl-ca", "ssl-crl", "ssl-client-verify", "no-ssl-client-verify",
        "ssl-protocol-min", "certfile", "keyfile", "keyfile-password", "ca-certs", "cert-reqs", "ciphers",
        "verify-mode", "suppress-ragged-eofs", "do-handshake-on-connect", "tls-cert", "tls-key", "cert", "key",
        "ssl-cert", "ssl-key", "https",
    ), TLS),
    **dict.fromkeys((
        "http2", "http2-cleartext", "http2-initial-window-size", "http2-max-concurrent-streams",
        "http2-max-frame-size", "http2-max-header-list-size", "http2-adaptive-window", "no-http2-adaptive-window",
        "http2-initial-connection-window-size", "http2-initial-stream-window-size", "http2-keep-alive-interval",
        "http2-keep-alive-timeout", "http2-max-headers-size", "http2-max-send-buffer-size",
    ), HTTP2),
    # workers and threads
    "w": "use --workers", "k": "use --threads, or --interface and --loop", "g": USER, "m": "set it before the start",
    "worker-class": "WSGI runs on --threads, ASGI on one loop a worker (--loop): there is no class to choose",
    "worker-connections": "use --max-connections", "blocking-threads": "use --threads",
    "runtime-threads": "use --workers", "runtime-blocking-threads": "use --threads", "runtime-mode": AUTOMATIC,
    "task-impl": AUTOMATIC, "blocking-threads-idle-timeout": "threads stay; --threads says how many there are at most",
    "backpressure": "use --max-connections", "limit-concurrency": "use --max-connections",
    "preload": APP_AFTER_FORK, "worker-tmp-dir": "none is needed; --spool-dir is where large bodies wait",
    "asgi-loop": "use --loop", "asgi-lifespan": "use --lifespan", "reset-contextvars": AUTOMATIC,
    "asgi-disconnect-grace-period": "an app that answers a client that has left is cancelled by itself",
    "dirty-app": "dimserver has no dirty workers", "dirty-workers": "dimserver has no dirty workers",
    "dirty-threads": "dimserver has no dirty workers", "dirty-timeout": "dimserver has no dirty workers",
    "dirty-graceful-timeout": "dimserver has no dirty workers",
    "respawn-failed-workers": "a worker that ends is always replaced",
    "no-respawn-failed-workers": "a worker that ends is always replaced",
    "respawn-interval": "a worker that ends is replaced at once, and later where it ends again and again",
    # how long, how often
    "t": "use --worker-timeout: a worker whose loop is stuck that long is replaced",
    "timeout-keep-alive": "use --timeout", "keep-alive": "use --timeout", "http1-keep-alive": "use --timeout",
    "no-http1-keep-alive": "use --timeout", "keep-alive-timeout": "use --timeout",
    "graceful-timeout": "use --drain", "timeout-graceful-shutdown": "use --drain",
    "workers-kill-timeout": "use --drain", "shutdown-timeout": "use --drain",
    "timeout-worker-healthcheck": "use --worker-timeout", "read-timeout": "use --timeout-head and --rate-body",
    "http1-header-read-timeout": "use --timeout-head", "http-timeout": "use --watchdog to hear of slow handlers",
    "application-close-timeout": "use --drain",
    "max-requests": RECYCLE, "limit-max-requests": RECYCLE, "max-requests-jitter": JITTER,
    "limit-max-requests-jitter": JITTER, "workers-lifetime": "use --recycle-age",
    "workers-max-rss": "use --recycle-memory", "rss-samples": "use --recycle-memory",
    "rss-sample-interval": "use --recycle-memory",
    # limits of requests
    "limit-request-fields": "use --limit-fields", "limit-request-field-size": "use --limit-field",
    "http1-buffer-size": "use --limit-head", "http1-pipeline-flush": "answers to pipelined requests leave together",
    "no-http1-pipeline-flush": "answers to pipelined requests leave together",
    "max-body-size": "use --limit-body", "client-max-body-size": "use --limit-body",
    **dict.fromkeys((
        "permit-obsolete-folding", "permit-unconventional-http-method", "permit-unconventional-http-version",
        "strip-header-spaces", "casefold-http-method", "header-map",
    ), STRICT),
    # proxies and paths
    "proxy-headers": PROXIES, "no-proxy-headers": "without --trusted-proxies no proxy is believed",
    "forwarded-allow-ips": PROXIES, "proxy-allow-from": "use --proxy-protocol and --trusted-proxies",
    "forwarder-headers": "use --forwarded-headers", "url-path-prefix": "use --root-path",
    "server-name": "dimserver answers for every host name; let the app or a proxy choose",
    "server-header": "Server is always sent; use --header 'Server: NAME' for another name",
    "no-server-header": "Server is always sent; use --header 'Server: NAME' for another name",
    "date-header": "Date is always sent", "no-date-header": "Date is always sent (RFC 9110 6.6.1)",
    "static-path-mount": "use --static", "static-path-route": "use --static, which serves at /",
    "static-path-dir-to-file": "use --static: a directory is answered with its index.html",
    "static-path-expires": "use --header 'Cache-Control: max-age=SECONDS', or a [[header]] with a pattern",
    "no-sendfile": AUTOMATIC,
    "s": "use --static",
    # WebSockets
    "ws": AUTOMATIC, "no-ws": "an app without WebSockets refuses them itself", "ws-max-size": "use --ws-max-message",
    "ws-max-queue": "use --ws-buffer", "ws-ping-interval": "use --ws-ping", "ws-ping-timeout": "use --ws-timeout",
    "ws-per-message-deflate": "use --ws-deflate", "websocket-ping-interval": PING,
    "websocket-max-message-size": "use --ws-max-message", "ping-interval": PING, "ping-timeout": PING,
    "websocket-timeout": PING, "websocket-connect-timeout": "use --timeout-handshake",
    "ws-protocol": "the app chooses the subprotocol",
    # logs
    "access-logfile": "use --access-log combined, and --access-log-file for a file", "access-logformat": FORMAT,
    "access-log-format": FORMAT, "access-log-fmt": FORMAT, "no-access-log": "it is off unless --access-log asks for it",
    "log-access": "use --access-log combined", "error-logfile": "use --log-file", "error-log": "use --log-file",
    "log": "use --log-level", "no-log": "use --log-level critical", "log-config": LOGGERS, "log-config-json": LOGGERS,
    "logger-class": LOGGERS, "capture-output": "what an app prints stays on standard output and standard error",
    "enable-stdio-inheritance": "what an app prints stays on standard output and standard error", "use-colors": LOGGERS,
    "no-use-colors": "there are none", "v": "use --log-level debug", "verbosity": "use --log-level debug",
    "log-syslog": SYSLOG, "log-syslog-to": SYSLOG, "log-syslog-prefix": SYSLOG, "log-syslog-facility": SYSLOG,
    "disable-redirect-access-to-syslog": SYSLOG, "r": "what an app prints stays where it is",
    "statsd-host": STATSD, "statsd-prefix": STATSD, "dogstatsd-tags": STATSD, "metrics": STATSD, "no-metrics": STATSD,
    "metrics-address": "use --admin", "metrics-port": "use --admin", "metrics-scrape-interval": STATSD,
    "enable-backlog-metric": STATSD,
    # reload
    "reload-dir": RELOAD, "reload-include": RELOAD, "reload-exclude": RELOAD, "reload-delay": RELOAD,
    "reload-engine": RELOAD, "reload-extra-file": RELOAD, "reload-paths": RELOAD, "reload-ignore-dirs": RELOAD,
    "reload-ignore-paths": RELOAD, "reload-ignore-patterns": RELOAD, "reload-tick": RELOAD,
    "reload-ignore-worker-failure": "a reload that fails leaves the server as it was",
    "no-reload-ignore-worker-failure": "a reload that fails leaves the server as it was",
    # the process
    "c": "use --config", "check-config": "use dimserver config --check FILE", "print-config": "use dimserver config",
    "pid": "use --pidfile", "pid-file": "use --pidfile", "name": "the app's name stands in the title of each process",
    "n": "the app's name stands in the title of each process",
    "process-name": "the app's name stands in the title of each process", "daemon": BACKGROUND, "d": BACKGROUND,
    "user": USER, "group": USER, "initgroups": USER, "umask": "set it before the start; --uds-mode is for the socket",
    "chdir": DIRECTORY, "pythonpath": DIRECTORY, "app-dir": DIRECTORY, "working-dir": DIRECTORY,
    "env": ENVIRONMENT, "e": ENVIRONMENT, "env-file": ENVIRONMENT, "env-files": ENVIRONMENT,
    "paste": "name the app as module:attribute", "paste-global": "name the app as module:attribute",
    "paster": "name the app as module:attribute", "spew": "use a tracer of Python's own",
    "debug": "use --log-level debug",
    "control-socket": "use --admin PATH", "control-socket-mode": "use --admin-mode",
    "no-control-socket": "there is none unless --admin asks for it",
    "wsgi-file": "name the app as path/file.py:attribute", "module": "name the app as module:attribute",
    "callable": "name the app as module:attribute", "processes": "use --workers", "master": "there is always one",
}  # fmt: skip


def advice(word: str) -> str:
    """`; use --workers` for an option of another server, or an empty text.

    Args:
        word: as it was written, with or without dashes; a key of a file or a variable without its prefix will do.
    """
    found = FOREIGN.get(word.strip("-").lower().replace("_", "-"))
    return f"; {found}" if found else ""


def near(word: str, known: Iterable[str]) -> str | None:
    """The one of `known` that `word` was meant to be, if they differ by a slip: a letter or two, a beginning, a dash.

    Args:
        word: what was written.
        known: names of settings as one source spells them.
    """
    import difflib  # needed for mistakes only, and it brings re

    plain = _plain(word)
    names = {_plain(each): each for each in known}
    begun = [each for name, each in names.items() if len(plain) >= 4 and name.startswith(plain)]
    if plain in names or len(begun) == 1:
        return names.get(plain) or begun[0]
    for name, each in names.items():
        if len(plain) > 2 and sorted(plain) == sorted(name):
            return each
    found = difflib.get_close_matches(plain, names, n=1, cutoff=0.8)
    return names[found[0]] if found else None


def _plain(word: str) -> str:
    return word.strip("-").lower().replace("_", "-")
