"""The plaintext handler of every comparison, in dimserver's own form."""

from __future__ import annotations

from dimserver import App

app = App()


@app.get("/")
def hello(request: object) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "text/plain"}, b"Hello, World!"
