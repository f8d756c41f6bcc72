"""Which interface an app was written for, seen from the outside.

What a callable takes decides:

    (environ, start_response)    WSGI (PEP 3333)
    (scope, receive, send)       ASGI 3
    (scope)                      ASGI 2, which is not spoken
    (request)                    a handler of this server, if somebody says so: it may be many things
    ()                           none: it makes an app

A class counts as what its instances are made with, if these are answers by
themselves, as in the examples of both specifications.  Nothing is called here.
"""

from __future__ import annotations

from dimserver.errors import HandlerError
from dimserver.routes import Routes, is_async

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeGuard, TypeVar

    T = TypeVar("T")

__all__ = ["Shape", "check_interface", "describe", "detect", "is_a", "looks_written_for"]

ENVIRON = ("environ", "env")
SCOPE = "scope"
WANTS = {"native": (1, "(request)"), "wsgi": (2, "(environ, start_response)"), "asgi": (3, "(scope, receive, send)")}
ASGI_2 = (
    "an ASGI 2 app, which is not supported; asgiref.compatibility.guarantee_single_callable(app) converts it to ASGI 3"
)


class Shape:
    """The positional arguments a callable takes.

    Attributes:
        required, most: how many.
        first: the name of the first one.
        only_star: whether all of them are ``*args``.
    """

    __slots__ = ("first", "most", "only_star", "required")

    def __init__(self, app: Any) -> None:
        from inspect import Parameter, signature

        self.required = 0
        self.most = 0
        self.first = ""
        self.only_star = False
        for parameter in signature(app).parameters.values():
            if parameter.kind is Parameter.VAR_POSITIONAL:
                self.only_star = self.most == 0
                self.most = 255
            elif parameter.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD):
                self.first = self.first or parameter.name
                self.most += 1
                self.required += parameter.default is Parameter.empty
            elif parameter.kind is Parameter.KEYWORD_ONLY and parameter.default is Parameter.empty:
                raise ValueError(f"it cannot be called without {parameter.name}=")


def is_a(value: object, kind: type[T]) -> TypeGuard[T]:
    """`isinstance` that cannot raise: a proxy such as `flask.request` raises when it is asked for its class."""
    try:
        return isinstance(value, kind)
    except Exception:
        return issubclass(type(value), kind)


def describe(app: object) -> str:
    """What an object is, in a few words: `the function shop.create_app`, `a Flask`."""
    try:
        if isinstance(app, type):
            return f"the class {app.__module__}.{app.__qualname__}"
        if callable(app) and hasattr(app, "__qualname__"):
            return f"the function {getattr(app, '__module__', '?')}.{app.__qualname__}"
    except Exception:  # noqa: S110 - of a proxy the type still has a name
        pass
    name = type(app).__name__
    return f"{'an' if name[:1] in 'AEIOUaeiou' else 'a'} {name}"


def detect(app: Any) -> str:
    """The interface of an app.

    Args:
        app: an `App`, or a callable.

    Returns:
        ``"native"``, ``"wsgi"`` or ``"asgi"``.

    Raises:
        HandlerError: it has none, or it cannot be told; the message says what was seen and what to do.
    """
    try:
        return _detect(app)
    except HandlerError:
        raise
    except Exception as error:
        raise HandlerError(_not_to_be_looked_at(app, error)) from None


def _not_to_be_looked_at(app: object, error: Exception) -> str:
    what = str(error).strip().partition("\n")[0]
    return f"{describe(app)} is not an app: inspecting it raises {type(error).__name__}{what and f' ({what:.80})'}"


def _detect(app: Any) -> str:
    if isinstance(app, Routes):
        return "native"
    what = describe(app)
    if not callable(app):
        raise HandlerError(f"{what} is not an app{_why_not(app)}")
    try:
        shape = Shape(app)
    except (TypeError, ValueError) as error:
        raise HandlerError(
            f"cannot determine the arguments of {what} ({error}); set the interface to wsgi or asgi"
        ) from None
    if isinstance(app, type):
        return _of_class(app, shape, what)
    return _of_callable(app, shape, what)


def _why_not(app: object) -> str:
    if hasattr(app, "cr_await"):
        return ": it is a coroutine; await it to get the app"
    if isinstance(app, type(__builtins__)) or hasattr(app, "__spec__"):
        return "; name an object in it, as module:attribute"
    return ": it cannot be called"


def _of_callable(app: Any, shape: Shape, what: str) -> str:
    waits = is_async(app)
    if shape.only_star:
        if waits:
            return "asgi"
        raise HandlerError(f"{what} takes any arguments, so its interface is unknown; set it to wsgi or asgi")
    if shape.required == 3 or (shape.first == SCOPE and shape.most >= 3):
        return "asgi"
    if shape.required == 2 or (shape.first in ENVIRON and shape.most >= 2):
        if waits:
            raise HandlerError(
                f"{what} is async and takes two arguments; an ASGI app takes three, (scope, receive, send), "
                "and a WSGI app is not async"
            )
        return "wsgi"
    if shape.required == 1:
        if shape.first == SCOPE:
            raise HandlerError(f"{what} takes scope alone: it is {ASGI_2}")
        raise HandlerError(
            f"{what} takes one argument: it is neither a WSGI nor an ASGI app; "
            "for a native handler use --interface native"
        )
    if shape.required == 0:
        raise HandlerError(f"{what} takes no arguments; if it returns the app, use --factory")
    raise HandlerError(
        f"{what} takes {shape.required} arguments; a WSGI app takes two, (environ, start_response), "
        "an ASGI app three, (scope, receive, send)"
    )


def _of_class(app: type, shape: Shape, what: str) -> str:
    if shape.required == 2 and hasattr(app, "__iter__"):
        return "wsgi"
    if shape.required == 3 and hasattr(app, "__await__"):
        return "asgi"
    if shape.required == 1 and shape.first == SCOPE:
        raise HandlerError(f"{what} takes scope alone: it is {ASGI_2}")
    also = ", or use --factory if calling it returns the app" if shape.required == 0 else ""
    raise HandlerError(f"{what} is not an app; name an instance of it{also}")


def looks_written_for(app: Any) -> bool:
    """Whether a function says by the name of its first argument that it is a WSGI or ASGI app."""
    try:
        return Shape(app).first in (*ENVIRON, SCOPE)
    except Exception:  # no signature, or one that its owner will not show
        return False


def check_interface(app: Any, interface: str) -> None:
    """Whether an app can have the interface that somebody says it has.

    Raises:
        HandlerError: there is no such interface, or `app` cannot be called that way.
    """
    if interface not in WANTS:
        raise HandlerError(f"interface: {interface!r} is not allowed; allowed: auto, {', '.join(WANTS)}")
    try:
        _check_shape(app, interface)
    except HandlerError:
        raise
    except Exception as error:
        raise HandlerError(_not_to_be_looked_at(app, error)) from None


def _check_shape(app: Any, interface: str) -> None:
    what = describe(app)
    if isinstance(app, Routes):
        if interface != "native":
            raise HandlerError(f"{what} is native, not {interface}")
        return
    if not callable(app):
        raise HandlerError(f"{what} is not an app{_why_not(app)}")
    try:
        shape = Shape(app)
    except (TypeError, ValueError):
        return  # nothing is known that speaks against it
    wanted, arguments = WANTS[interface]
    if not shape.required <= wanted <= shape.most:
        raise HandlerError(f"{what} cannot be called with {arguments}, so it is not {interface}{_but(app)}")
    if interface == "wsgi" and is_async(app):
        raise HandlerError(f"{what} is async, so it is not wsgi")


def _but(app: Any) -> str:
    try:
        return f"; it looks like {detect(app)}"
    except HandlerError:
        return ""
