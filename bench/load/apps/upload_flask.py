"""Flask with a handler that reads what is uploaded, piece by piece."""

from __future__ import annotations

from flask import Flask, Response, request

app = Flask(__name__)


@app.get("/")
def hello() -> Response:
    return Response("Hello, World!", mimetype="text/plain")


@app.post("/upload")
def upload() -> Response:
    size = 0
    while piece := request.stream.read(65536):
        size += len(piece)
    return Response(str(size), mimetype="text/plain")
