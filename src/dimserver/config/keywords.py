"""The types of what a program gives; for type checkers, and loaded by nothing else.

Written by `python -m dimserver.config.write_keywords > src/dimserver/config/keywords.py`; a test compares.
"""

from collections.abc import Sequence
from os import PathLike
from typing import Required, TypedDict

__all__ = ["HeaderKeywords", "RouteKeywords", "RouteOptions", "SettingsKeywords"]


class RouteOptions(TypedDict, total=False):
    """What the decorators of routes take beside the pattern; see `App.route`."""

    exact: bool
    blocking: bool
    stream: bool
    limit_body: int | str


class RouteKeywords(TypedDict, total=False):
    """One table of the setting `route`."""

    pattern: Required[str]
    method: str
    blocking: bool | str | None
    stream: bool | str | None
    limit_body: int | str | None


class HeaderKeywords(TypedDict, total=False):
    """One table of the setting `header`."""

    name: Required[str]
    value: Required[str]
    pattern: str | None


class SettingsKeywords(TypedDict, total=False):
    """What `App` and `App.run` take; `dimserver config` describes each."""

    host: str
    port: int | str
    uds: str | PathLike[str] | None
    uds_mode: int | str
    fd: int | str | None
    backlog: int | str
    admin: tuple[str, int] | str | PathLike[str] | None
    admin_mode: int | str
    interface: str
    factory: bool | str
    root_path: str
    lifespan: str
    asgi_pathsend: bool | str
    stream_bodies: bool | str
    static: str | PathLike[str] | None
    static_charset: str | None
    api: bool | str
    api_token: str | None
    api_token_file: str | PathLike[str] | None
    local_hosts: str | list[str] | tuple[str, ...]
    trusted_proxies: str | list[str] | tuple[str, ...]
    proxy_protocol: bool | str
    forwarded_headers: str
    forwarded_host: bool | str
    request_id_header: str | None
    route: Sequence[RouteKeywords | str]
    header: Sequence[HeaderKeywords | str]
    max_connections: int | str
    max_http: int | str
    max_websocket: int | str
    max_api: int | str
    max_per_address: int | str
    admin_reserve: int | str
    limit_request_line: int | str
    limit_head: int | str
    limit_field: int | str
    limit_fields: int | str
    limit_body: int | str
    body_memory: int | str
    budget_memory: int | str | None
    budget_spool: int | str | None
    ws_max_message: int | str
    ws_max_frames: int | str
    ws_buffer: int | str
    topic_buffer: int | str
    max_topics: int | str
    topics_per_socket: int | str
    spool_dir: str | PathLike[str] | None
    timeout: float | str
    timeout_connect: float | str
    timeout_handshake: float | str
    timeout_head: float | str
    timeout_half_closed: float | str
    timeout_linger: float | str
    timeout_linger_silence: float | str
    rate_body: int | str
    rate_send: int | str
    rate_credit: float | str
    watchdog: float | str
    ws_ping: float | str
    ws_timeout: float | str
    ws_message_timeout: float | str
    ws_close: float | str
    drain: float | str
    workers: int | str
    threads: int | str | None
    loop: str
    worker_timeout: float | str
    recycle_age: float | str
    recycle_requests: int | str
    recycle_memory: int | str
    pidfile: str | PathLike[str] | None
    reload: bool | str
    ws_slow: str
    ws_deflate: bool | str
    pubsub: str
    pubsub_prefix: str
    access_log: str
    access_log_file: str | PathLike[str] | None
    log_level: str
    log_file: str | PathLike[str] | None
    log_format: str
