"""One coverage-guided run, in a process that has the sanitizers' runtime preloaded; started by ``__main__``.

The arguments are a target and then those of libFuzzer.
"""

from __future__ import annotations

import shlex
import sys
from importlib import import_module

import atheris
from tests.fuzz.exact import native
from tests.fuzz.inputs import checker

# Compiled modules have counters of their own; these are Python, and get theirs here.  The models get none: what is
# to be explored is the server.
PLAIN = ["dimserver.handlers.media_types", "dimserver.handlers.safe_open"]  # else they come along with their package
INSTRUMENTED = ["dimserver.handlers.ranges", "dimserver.handlers.conditional", "dimserver.handlers.static"]


def main() -> None:
    target = sys.argv.pop(1)
    # For a merge libFuzzer starts itself again, through the shell, by what it was called.
    sys.argv[0] = f"{shlex.quote(sys.executable)} -m tests.fuzz.drive {target}"
    if native is None:
        sys.exit("dimcore_fuzz is not built: start this with `python -m tests.fuzz run`")
    for name in PLAIN:
        import_module(name)
    with atheris.instrument_imports(include=INSTRUMENTED, enable_loader_override=False):
        check = checker(target)
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
