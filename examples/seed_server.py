"""A server in the form of the design it grew from: classes and call forms as named there.

python examples/seed_server.py                      # or: dimserver run examples/seed_server.py:server
curl http://127.0.0.1:8080/api/hello
curl http://127.0.0.1:8080/api/coordinates
"""

from __future__ import annotations

import json

from dimserver import OptimizedDimensionalServer, RequestPoint

Answer = tuple[int, dict[str, str], bytes]
JSON = {"Content-Type": "application/json"}

server = OptimizedDimensionalServer()


def handle_hello(request: RequestPoint) -> Answer:
    return 200, JSON, json.dumps({"status": "ok", "hello": "from a point"}).encode()


def handle_coordinates(request: RequestPoint) -> Answer:
    """Show where this very request, and the connection it came on, are."""
    connection = request.connection
    body = {
        "request": {"spiral": request.spiral, "layer": request.layer, "stage": request.stage_name},
        "connection": {"spiral": connection.spiral, "layer": connection.layer},
        "identity_vector": request.identity_vector,
        "z_value": request.z_value,
    }
    return 200, JSON, json.dumps(body).encode()


server.request_manifold.register_route("GET", "/api/hello", handle_hello)
server.request_manifold.register_route("GET", "/api/coordinates", handle_coordinates)

if __name__ == "__main__":
    server.run_forever()
