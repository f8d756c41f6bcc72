"""The seed's server and its command line, over the packages.

cd examples/seed
python server/dimensional_server_optimized.py --host 127.0.0.1 --port 8080 --max-connections 10000 --timeout 300
curl http://127.0.0.1:8080/api/stats
"""

from __future__ import annotations

import argparse
import sys

from dimserver import OptimizedDimensionalServer
from dimserver.errors import DimserverError

__all__ = ["OptimizedDimensionalServer", "main"]


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Serve the built-in API, and the files of a directory.")
    parser.add_argument("--host", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", help="TCP port (8080); 0 picks one and prints it")
    parser.add_argument("--max-connections", help="open connections at most (10000)")
    parser.add_argument("--timeout", help="seconds an idle connection is kept (300)")
    parser.add_argument("--static", metavar="DIR", help="serve the files of a directory")
    try:
        OptimizedDimensionalServer(**vars(parser.parse_args(words))).run_forever()
    except DimserverError as error:
        print(f"dimensional_server_optimized: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
