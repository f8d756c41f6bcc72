"""The smallest application: one page, and one with a parameter.

dimserver run examples/hello.py
curl http://127.0.0.1:8080/hello/world
"""

from __future__ import annotations

from dimserver import App, Request

app = App()


@app.get("/")
def index(request: Request) -> str:
    return "Hello, World!\n"


@app.get("/hello/{name}")
def hello(request: Request) -> str:
    return f"Hello, {request.params['name']}!\n"


if __name__ == "__main__":
    app.run(port=8080)
