"""Kinds of values a setting can have: text in, typed value out, and back.

Every kind reads the same three sources: text (command line, environment),
typed values (a TOML file, a keyword argument) and its own default.  `read`
raises ValueError for anything else; the message is left to the caller, who
knows the setting's name and asks `allowed` for the rest.
"""

from dimserver.config.types.base import Kind
from dimserver.config.types.headers import AddedFieldName, FieldValue
from dimserver.config.types.networks import Hosts, Networks, is_loopback
from dimserver.config.types.numbers import (
    HOUR,
    MINUTE,
    SECOND,
    Duration,
    GiB,
    Integer,
    KiB,
    MiB,
    Mode,
    Size,
    Threads,
    Workers,
)
from dimserver.config.types.paths import (
    MAX_SOCKET_PATH,
    STANDARD_OUTPUT,
    Endpoint,
    LogTarget,
    Name,
    Path,
    SocketPath,
    UrlPath,
)
from dimserver.config.types.pubsub import ChannelPrefix, PubSub, shown_url
from dimserver.config.types.routes import Method, RoutePattern
from dimserver.config.types.text import Charset, Choice, FieldName, Flag, Target, Token

__all__ = [
    "HOUR",
    "MAX_SOCKET_PATH",
    "MINUTE",
    "SECOND",
    "STANDARD_OUTPUT",
    "AddedFieldName",
    "ChannelPrefix",
    "Charset",
    "Choice",
    "Duration",
    "Endpoint",
    "FieldName",
    "FieldValue",
    "Flag",
    "GiB",
    "Hosts",
    "Integer",
    "KiB",
    "Kind",
    "LogTarget",
    "Method",
    "MiB",
    "Mode",
    "Name",
    "Networks",
    "Path",
    "PubSub",
    "RoutePattern",
    "Size",
    "SocketPath",
    "Target",
    "Threads",
    "Token",
    "UrlPath",
    "Workers",
    "is_loopback",
    "shown_url",
]
