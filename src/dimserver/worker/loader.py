"""From the text APP on a command line to the object it names.

    module           module:attr           attr is `app`, else `application`, unless given, and may be dotted
    path/file.py     path/file.py:attr

The hard part is whose mistake a failure is.  A module that is not there is the
user's typing and gets one line.  An exception out of the user's module is the
module's, and its author wants the traceback, from the first line of their own
code on.  Both can be a ModuleNotFoundError, so its type alone decides nothing:
what decides is whether any code of the user ran before it was raised.
"""

from __future__ import annotations

import os
import sys

from dimserver.config import did_you_mean
from dimserver.errors import AppImportError, HandlerError, LoadError
from dimserver.gateway.detect import Shape, describe, detect, is_a, looks_written_for
from dimserver.gateway.mount import mount
from dimserver.routes import Routes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType, TracebackType
    from typing import Any

__all__ = ["how_to_load", "load_app", "load_object", "split_target"]

DEFAULT_ATTRIBUTE = "app"
SECOND_ATTRIBUTE = "application"  # the name that PEP 3333, Django and gunicorn use; taken where APP names none


def split_target(target: str) -> tuple[str, str]:
    """Module (or file) and attribute of an APP text.

    Args:
        target: for example `shop`, `shop.web:server` or `sites/shop.py:app`.

    Returns:
        The two parts; the attribute is `app` where none is given.

    Raises:
        LoadError: a part is missing or is not a name.
    """
    # From the right: a directory may have a colon in its name, an attribute has no slash.
    module, colon, attribute = target.rpartition(":")
    if not colon or "/" in attribute or attribute.endswith(".py"):
        module, attribute = target, DEFAULT_ATTRIBUTE
    if not module or not attribute:
        raise LoadError(f"'{target}' is not an APP; write module:attribute or path/file.py:attribute")
    if not all(part.isidentifier() for part in attribute.split(".")):
        raise LoadError(f"'{target}': '{attribute}' is not the name of an attribute")
    if not _is_file(module) and not all(part.isidentifier() for part in module.split(".")):
        raise LoadError(f"'{target}': '{module}' is not the name of a module; a file is written path/file.py")
    return module, attribute


def how_to_load(values: Mapping[str, object]) -> tuple[str, bool]:
    """Interface and factory, as `load_app` takes them, from the values of settings that were given."""
    return str(values.get("interface", "auto")), bool(values.get("factory", False))


def load_app(target: str, interface: str = "auto", factory: bool = False) -> Routes:
    """Import the app that APP names.

    Args:
        target: see `split_target`.
        interface: ``"auto"`` looks at what was found; ``"native"``, ``"wsgi"`` or ``"asgi"``.
        factory: whether APP names a callable that makes the app.

    Returns:
        The app; one of another interface is mounted in it.

    Raises:
        LoadError, AppImportError: as for `load_object`; LoadError too for what is no app.

    Thread-safety: as for `load_object`.
    """
    found = load_object(target)
    if factory:
        found = _make(target, found)
    if is_a(found, Routes):
        if interface in ("auto", "native"):
            return found
        raise LoadError(f"'{target}' is {describe(found)}, which is native, not {interface}")
    app = Routes()
    try:
        mount(app, "/", found, interface)
    except HandlerError as error:
        hint = _in_module(found) if is_a(found, type(sys)) else ""
        raise LoadError(f"'{target}': {str(error).removeprefix('mount /: ')}{hint}") from None
    return app


def _make(target: str, factory: Any) -> object:
    if not callable(factory):
        raise LoadError(f"'{target}' is {describe(factory)}, which is not a factory: it cannot be called")
    try:
        takes = Shape(factory)
    except (TypeError, ValueError):
        takes = None
    if takes is not None and takes.required:
        raise LoadError(
            f"'{target}' is {describe(factory)}, which is not a factory: it cannot be called without arguments"
        )
    try:
        made: object = factory()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _raised(target, error, _users_part(error.__traceback__)) from error
    if _is_coroutine(made):
        made.close()  # type: ignore[attr-defined]
        raise LoadError(f"'{target}' is {describe(factory)}, which is async; a factory must not be")
    return made


def load_object(target: str) -> object:
    """Import what APP names; the current directory is importable, as with `python -m`.

    Args:
        target: see `split_target`.

    Raises:
        LoadError: no such module, file or attribute.
        AppImportError: the module's own code raised; the exception is its `__cause__`.

    Thread-safety: changes `sys.path` and `sys.modules`; call it from the main thread.
    """
    name, attribute = split_target(target)
    _importable(_here())
    module = _import_file(name) if _is_file(name) else _import_name(name)
    found: object = module
    if not target.endswith(f":{attribute}"):
        attribute = _usual_attribute(module)
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise LoadError(_no_attribute(target, found, part)) from None
        except Exception as error:  # a property, or the module's own __getattr__
            raise _raised(target, error, _users_part(error.__traceback__)) from error
    return found


def _usual_attribute(module: ModuleType) -> str:
    """Where APP names no attribute: `app`, or `application` if that is all there is."""
    names = vars(module)
    if SECOND_ATTRIBUTE in names and is_a(names.get(DEFAULT_ATTRIBUTE, sys), type(sys)):  # `import app` makes no app
        return SECOND_ATTRIBUTE
    return DEFAULT_ATTRIBUTE


def _here() -> str:
    try:
        return os.getcwd()
    except OSError as error:
        raise LoadError(f"the current directory cannot be read: {error.strerror}") from None


def _is_file(module: str) -> bool:
    return module.endswith(".py") or "/" in module


def _importable(directory: str) -> None:
    # First, as for `python -m` and for a script: the user's module wins over an installed one of its name.
    if directory not in sys.path:
        sys.path.insert(0, directory)


def _import_name(name: str) -> ModuleType:
    try:
        __import__(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        users = _users_part(error.__traceback__)
        if users is None and isinstance(error, ModuleNotFoundError) and _is_part_of(error.name, name):
            raise LoadError(_no_module(name, error.name or name)) from None
        raise _raised(name, error, users) from error
    return sys.modules[name]


def _import_file(path: str) -> ModuleType:
    if not os.access(path, os.F_OK):
        raise LoadError(f"no such file: '{path}'{_near_file(path)}")
    directory, base = os.path.split(os.path.realpath(path))
    if not base.endswith(".py"):
        raise LoadError(f"not a Python file: '{path}'")
    _readable(path)
    stem = base[: -len(".py")]
    # Inside a package a file is imported as part of it, so that its relative imports work.
    parts = [] if stem == "__init__" else [stem]
    while os.access(f"{directory}/__init__.py", os.F_OK):
        directory, package = os.path.split(directory)
        parts.insert(0, package)
    _importable(directory)
    if len(parts) > 1 or stem == "__init__":
        return _import_name(".".join(parts))
    return _execute(stem, os.path.realpath(path))


def _readable(path: str) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.read(descriptor, 1)  # a directory opens, but does not read
        finally:
            os.close(descriptor)
    except OSError as error:
        raise LoadError(f"cannot read '{path}': {error.strerror}") from None


def _execute(stem: str, path: str) -> ModuleType:
    from importlib.util import module_from_spec, spec_from_file_location

    # A file json.py must not become the `json` of everybody else in the process.
    name = stem if stem not in sys.modules and stem not in sys.stdlib_module_names else f"__app_{stem}__"
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:  # no loader for the suffix: cannot happen for .py
        raise LoadError(f"not a Python file: '{path}'")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        sys.modules.pop(name, None)
        raise _raised(path, error, _users_part(error.__traceback__)) from error
    return module


def _users_part(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame that is neither this module's nor the import system's."""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file != __file__ and not file.startswith("<frozen importlib"):
            return trace
        trace = trace.tb_next
    return None


def _raised(name: str, error: BaseException, users: TracebackType | None) -> AppImportError:
    error.__traceback__ = users
    if isinstance(error, SystemExit):
        return AppImportError(f"'{name}' ended the program while it was loaded (exit {error.code})")
    return AppImportError(f"'{name}' raised {type(error).__name__} while it was loaded")


def _is_part_of(missing: str | None, name: str) -> bool:
    return missing is not None and (name == missing or name.startswith(missing + "."))


def _no_module(name: str, missing: str) -> str:
    parent, _, last = name.rpartition(".")
    owner = sys.modules.get(parent)
    if owner is not None and hasattr(owner, last):
        return f"'{name}' is not a module; did you mean '{parent}:{last}'?"
    if "." not in missing:
        return f"no module named '{missing}' in {_here()} or on Python's path{_near_module(missing)}"
    return f"no module named '{missing}'"


def _near_module(name: str) -> str:
    files = _python_files(".")
    return did_you_mean(name, [file[: -len(".py")] for file in files] + _packages())


def _near_file(path: str) -> str:
    directory, base = os.path.split(path)
    return did_you_mean(base, _python_files(directory or "."))


def _python_files(directory: str) -> list[str]:
    try:
        with os.scandir(directory) as entries:
            return sorted(entry.name for entry in entries if entry.name.endswith(".py"))
    except OSError:
        return []


def _packages() -> list[str]:
    try:
        with os.scandir(".") as entries:
            return sorted(entry.name for entry in entries if os.access(f"{entry.name}/__init__.py", os.F_OK))
    except OSError:
        return []


def _no_attribute(target: str, owner: object, missing: str) -> str:
    if not is_a(owner, type(sys)):
        hint = did_you_mean(missing, _names(owner))
        return f"'{target}': a {type(owner).__name__} has no attribute '{missing}'{hint}"
    held = {name: value for name, value in vars(owner).items() if not name.startswith("_")}
    apps = [name for name, value in held.items() if _is_servable(value)]
    # A single app under another name is the only answer that makes sense, however far its name is.
    hint = f"; did you mean '{apps[0]}'?" if len(apps) == 1 else did_you_mean(missing, apps or held)
    if not hint and apps:
        hint = f"; apps there: {', '.join(sorted(apps)[:5])}"
    if not hint and missing == DEFAULT_ATTRIBUTE and not target.endswith(f":{missing}"):
        hint = f" and no '{SECOND_ATTRIBUTE}'"
    return f"module '{owner.__name__}' has no attribute '{missing}'{hint}"


def _in_module(module: ModuleType) -> str:
    apps = [name for name, value in vars(module).items() if not name.startswith("_") and _is_servable(value)]
    return f"; did you mean '{module.__name__}:{apps[0]}'?" if len(apps) == 1 else ""


def _names(owner: object) -> list[str]:
    try:
        return dir(owner)
    except Exception:  # its own __dir__
        return []


def _is_servable(value: object) -> bool:
    # A proxy (`from flask import request`) raises whenever it is looked at outside of what it stands for.
    try:
        return _looks_servable(value)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return False


def _looks_servable(value: object) -> bool:
    if is_a(value, type) or is_a(value, type(sys)) or not (is_a(value, Routes) or callable(value)):
        return False
    try:
        kind = detect(value)
    except HandlerError:
        return False
    if hasattr(value, "__qualname__"):  # most functions that take two arguments or three are no apps
        return looks_written_for(value)
    return kind != "native" or isinstance(value, Routes)


def _is_coroutine(value: object) -> bool:
    from types import CoroutineType

    return is_a(value, CoroutineType)
