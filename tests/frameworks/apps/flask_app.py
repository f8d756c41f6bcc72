"""Sessions, uploads, streaming and errors in Flask."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, abort, jsonify, redirect, request, send_file, session, stream_with_context, url_for

app = Flask(__name__, static_folder=None)
app.secret_key = b"not a secret"


@app.get("/")
def index() -> str:
    return "hello"


@app.route("/login", methods=["GET", "POST"])
def login() -> Any:
    session["name"] = request.values["name"]
    session["visits"] = 0
    return redirect(url_for("profile"))


@app.get("/profile")
def profile() -> Any:
    if "name" not in session:
        abort(401)
    session["visits"] += 1
    return jsonify(name=session["name"], visits=session["visits"], url=request.url, remote=request.remote_addr)


@app.post("/upload")
def upload() -> Any:
    file = request.files["file"]
    digest = hashlib.sha256()
    size = 0
    while piece := file.stream.read(65536):
        digest.update(piece)
        size += len(piece)
    return jsonify(name=file.filename, note=request.form["note"], size=size, sha256=digest.hexdigest())


@app.post("/raw")
def raw() -> Any:
    return jsonify(size=len(request.get_data()), length=request.content_length)


@app.get("/stream")
def stream() -> Any:
    def lines() -> Iterator[str]:
        for number in range(int(request.args["count"])):
            yield f"line {number} of {request.path}\n"

    return Response(stream_with_context(lines()), mimetype="text/plain")


@app.get("/stream/fails")
def stream_that_fails() -> Any:
    def lines() -> Iterator[str]:
        yield "first\n"
        raise RuntimeError("the rest is lost")

    return Response(lines(), mimetype="text/plain")


@app.get("/file")
def file() -> Any:
    return send_file(__file__, mimetype="text/x-python", conditional=True)


@app.get("/fails")
def fails() -> Any:
    raise ValueError("secret detail")


@app.get("/teapot")
def teapot() -> Any:
    abort(418)


@app.errorhandler(404)
def not_found(error: Any) -> Any:
    return jsonify(missing=request.path), 404


@app.get("/where")
def where() -> Any:
    return jsonify(
        thread=threading.current_thread().name,
        script_name=request.script_root,
        multithread=request.environ["wsgi.multithread"],
        multiprocess=request.environ["wsgi.multiprocess"],
    )


def create_app(name: str = "made") -> Flask:
    made = Flask(name)
    made.get("/")(lambda: "made by a factory")
    return made
