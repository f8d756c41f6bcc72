"""One coverage-guided run, in a process that has the sanitizers' runtime preloaded; started by ``__main__``.

    python -m tests.fuzz.drive TARGET [arguments of libFuzzer]
"""

from __future__ import annotations

import sys

import atheris

# Imported before anything is instrumented: atheris takes the packages around a module along.
import dimserver.handlers.mediatypes
import dimserver.handlers.rooted
from tests.fuzz import exact
from tests.fuzz.inputs import checker

# Compiled modules have counters of their own; these are Python, and get theirs here.  The models get none: what is
# to be explored is the server.
INSTRUMENTED = ["dimserver.handlers.ranges", "dimserver.handlers.conditional", "dimserver.handlers.static"]


def main() -> None:
    target = sys.argv.pop(1)
    if exact.native is None:
        sys.exit("dimcore_fuzz is not built: start this with `python -m tests.fuzz run`")
    with atheris.instrument_imports(include=INSTRUMENTED, enable_loader_override=False):
        check = checker(target)
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
