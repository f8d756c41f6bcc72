"""`python -m dimserver`: the same as the command `dimserver`."""

from __future__ import annotations

import sys

from dimserver.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
