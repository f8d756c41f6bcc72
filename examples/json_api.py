"""A small JSON API: notes kept in memory.

dimserver run examples/json_api.py
curl -X POST http://127.0.0.1:8080/notes -d '{"text": "buy milk"}'
curl 'http://127.0.0.1:8080/notes?contains=milk'
curl -X DELETE http://127.0.0.1:8080/notes/1

A dict or a list is answered as JSON; a tuple adds the status and the headers.
Handlers run on the loop's own thread unless a route says ``blocking=True``, so
the store needs no lock.
"""

from __future__ import annotations

import json
from itertools import count
from typing import Any

from dimserver import App, Request

Answer = tuple[int, dict[str, str], bytes]

app = App()
notes: dict[int, str] = {}
numbers = count(1)


def answer(status: int, value: Any, **headers: str) -> Answer:
    body = json.dumps(value).encode()
    return status, {"Content-Type": "application/json"} | headers, body


@app.get("/notes")
def list_notes(request: Request) -> list[dict[str, Any]]:
    wanted = request.query_params.get("contains", "")
    return [{"id": number, "text": text} for number, text in notes.items() if wanted in text]


@app.post("/notes")
def add_note(request: Request) -> Answer:
    try:
        text = request.json()["text"]
    except (ValueError, KeyError, TypeError):
        return answer(400, {"error": 'send a JSON object with a "text"'})
    if not isinstance(text, str):
        return answer(400, {"error": '"text" is to be a string'})
    number = next(numbers)
    notes[number] = text
    return answer(201, {"id": number, "text": text}, Location=f"/notes/{number}")


@app.get("/notes/{number}")
def get_note(request: Request) -> Answer:
    number = find(request)
    if number is None:
        return answer(404, {"error": "no such note"})
    return answer(200, {"id": number, "text": notes[number]})


@app.delete("/notes/{number}")
def delete_note(request: Request) -> Answer:
    number = find(request)
    if number is None:
        return answer(404, {"error": "no such note"})
    return answer(200, {"id": number, "text": notes.pop(number)})


def find(request: Request) -> int | None:
    """Return the number in the path when a note has it."""
    written = request.params["number"]
    number = int(written) if written.isascii() and written.isdigit() and len(written) < 20 else None
    return number if number in notes else None


if __name__ == "__main__":
    app.run(port=8080)
