"""Two servers with one app: what each answers to the same bytes, and where they differ."""

from __future__ import annotations

import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

from tests.support.servers import Child, child_environment
from tests.support.waiting import PATIENCE

APPS = pathlib.Path(__file__).parent / "apps"
DOCUMENTED = APPS.parents[2] / "docs" / "gateways.md"
IGNORED = ("date", "server")  # every server has its own


# Requests for an app that says what it was given: what follows its name, fields, and how else.
REQUESTS: dict[str, tuple[str, tuple[str, ...], dict[str, Any]]] = {
    "plain": ("", (), {}),
    "query": ("?a=1&b=%20c+d&%C3%A9", (), {}),
    "empty query": ("?", (), {}),
    "escapes": ("/caf%C3%A9/a%2Fb/%ff/x%20y", (), {}),
    "dots": ("/../a//x/./y", (), {}),
    "semicolon": (";p=1", (), {}),
    "headers": (
        "",
        ("X-A: 1", "x-a: 2", "X-B:  spaced  ", "X-Empty:", "Cookie: a=1", "Cookie: b=2", "X_Under: 1", "X-L: caf\xe9"),
        {},
    ),
    "HTTP/1.0": ("", (), {"version": "1.0"}),
    "absolute form": ("?x", (), {"before": "http://other.example"}),
    "body": ("", ("Content-Length: 5", "Content-Type: text/x"), {"method": "POST", "body": b"hello"}),
    "body of no type": ("", ("Content-Length: 5",), {"method": "POST", "body": b"hello"}),
    "chunks": ("", ("Transfer-Encoding: chunked",), {"method": "POST", "body": b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"}),
    "empty body": ("", ("Content-Length: 0",), {"method": "POST"}),
    "PUT": ("", ("Content-Length: 1",), {"method": "PUT", "body": b"x"}),
    "DELETE": ("", (), {"method": "DELETE"}),
    "OPTIONS": ("", (), {"method": "OPTIONS"}),
    "TRACE": ("", (), {"method": "TRACE"}),
    "HEAD": ("", (), {"method": "HEAD"}),
    "unusual method": ("", (), {"method": "BREW"}),
    "lower case": ("", (), {"method": "get"}),
    "forwarded": ("", ("X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil"), {}),
    "expect": ("", ("Content-Length: 5", "Expect: 100-continue"), {"method": "POST", "body": b"hello"}),
}


def request(
    target: str, *fields: str, method: str = "GET", body: bytes = b"", version: str = "1.1", before: str = ""
) -> bytes:
    """The bytes of a request whose answer ends the connection."""
    lines = [f"{method} {before}{target} HTTP/{version}", *fields, "Connection: close"]
    if version != "1.0":
        lines.insert(1, "Host: example.org:81")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class Peer:
    """Another server, started by its own command.

    What it says goes to a file: a pipe that nobody empties would stop it after some dozens of tracebacks.
    """

    def __init__(self, *words: str) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the server
        self.process = subprocess.Popen(
            [sys.executable, "-m", *words], cwd=APPS, env=child_environment(), stdin=subprocess.DEVNULL,
            stdout=self._said, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.url = self._announced()

    def _announced(self) -> str:
        end = time.monotonic() + PATIENCE
        ended = False
        while not ended and time.monotonic() < end:
            ended = self.process.poll() is not None
            said = os.pread(self._said.fileno(), 65536, 0)
            found = re.search(rb"(?:Listening at: |running on )(http://[0-9.:]+)\D", said)
            if found is not None:
                return found[1].decode()
            time.sleep(0.02)
        self.process.kill()
        self.__exit__()
        raise AssertionError(f"the other server did not start: {said!r}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)
        self._said.close()


def ask(url: str, request: bytes) -> dict[str, Any]:
    """Send the bytes of one request and read to the end; status, header fields and body, by name."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), PATIENCE) as sock:
        peer = sock.getsockname()[1]
        sock.sendall(request)
        received = b""
        try:
            while data := sock.recv(65536):
                received += data
                # An answer that says where it ends is not waited for the end of the connection.
                if b"\r\n\r\n" in received and b"connection: close" not in received.lower() and is_whole(received):
                    break
        except ConnectionResetError:
            pass
    return {name: _anonymous(value, int(port), peer) for name, value in told(received).items()}


def _anonymous(value: Any, server: int, client: int) -> Any:
    """Without the ports, which are others each time."""
    text = json.dumps(value)
    for number, name in ((server, "SERVER"), (client, "CLIENT")):
        text = re.sub(rf'(?<![0-9])"?{number}"?(?![0-9])', f'"{name}"' if f'"{number}"' in text else name, text)
    try:
        return json.loads(text)
    except ValueError:
        return text


def is_whole(received: bytes) -> bool:
    head, _, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    return (length is not None and len(body) >= int(length[1])) or body.endswith(b"0\r\n\r\n")


def told(received: bytes) -> dict[str, Any]:
    """An answer as a flat table."""
    if not received:
        return {"status": "nothing"}
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    table: dict[str, Any] = {"status": first}
    framing = "end of the connection"
    for line in lines:
        name, _, value = line.partition(":")
        name, value = name.lower(), value.strip()
        if name == "transfer-encoding":
            framing = value
        elif name == "content-length":
            framing = "length"
            length = int(value)
        elif name not in IGNORED:
            table[name] = f"{table[name]} | {value}" if name in table else value
    whole = True
    if framing == "chunked" and body:
        body, whole = unchunked(body)
    elif framing == "length" and body:
        whole = len(body) == length
    table["framing"] = framing + ("" if whole else ", cut")
    if body and table.get("content-type") == "application/json":
        table.update({f"app: {name}": value for name, value in json.loads(body).items()})
    else:
        table["body"] = body.decode("latin-1")
        if framing == "length" and not body:
            table["length"] = length
    return table


def unchunked(body: bytes) -> tuple[bytes, bool]:
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size or b"0", 16)
        if length == 0:
            return whole, True
        whole, body = whole + body[:length], body[length + 2 :]
    return whole, False


def differences(theirs: dict[str, Any], ours: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What is not the same: name -> (of the other, ours); None where there is none."""
    names = sorted(theirs.keys() | ours.keys())
    return {name: (theirs.get(name), ours.get(name)) for name in names if theirs.get(name) != ours.get(name)}


# --- a whole comparison ---------------------------------------------------------------------------

Reason = Callable[[str, str, Any, Any], str | None]
Urls = tuple[str, str]  # of the other server, and of this one

FORMS: dict[str, dict[str, Any]] = {"GET": {}, "HEAD": {"method": "HEAD"}, "1.0": {"version": "1.0"}}


def cases(mirror: str, answers: tuple[str, ...]) -> dict[str, bytes]:
    """The requests for an app that says at `mirror` what it was given, and answers in many ways at other paths."""
    return {
        **{name: request(f"{mirror}{target}", *fields, **how) for name, (target, fields, how) in REQUESTS.items()},
        "CONNECT": request("example.org:443", method="CONNECT"),
        "OPTIONS *": request("*", method="OPTIONS"),
        **{f"{form} {name}": request(f"/{name}", **how) for form, how in FORMS.items() for name in answers},
    }


@contextmanager
def both(app: str, peer: str, *words: str) -> Iterator[Urls]:
    """The app under the other server, started by its command, and under this one."""
    with Peer(peer, app, *words) as other:
        ours = Child("run", app, "--port", "0", cwd=APPS)
        yield other.url, ours.urls[0]
        ours.end()
        for stream in (ours.process.stdout, ours.process.stderr):
            assert stream is not None
            stream.close()


def unexplained(urls: Urls, case: str, sent: bytes, reason: Reason) -> dict[str, tuple[Any, Any]]:
    """What differs without a reason.

    Args:
        reason: called with the case, the name, and what either says; None where nobody knows why.
    """
    found = differences(*(ask(url, sent) for url in urls))
    return {name: pair for name, pair in found.items() if reason(case, name, *pair) is None}


def reasons(urls: Urls, sent: dict[str, bytes], reason: Reason) -> set[str]:
    """Every reason there is for a difference between the two; what has none by its case and its name."""
    return {
        reason(case, name, *pair) or f"{case}: {name} {pair}"
        for case, data in sent.items()
        for name, pair in differences(*(ask(url, data) for url in urls)).items()
    }


def undocumented(reasons: set[str], section: str) -> set[str]:
    """Those that the section of the documentation does not have."""
    text = DOCUMENTED.read_text(encoding="utf-8").partition(f"## {section}")[2].partition("\n## ")[0]
    return {word for word in reasons if f"| {word} |" not in text}


def length_is_true(url: str, name: str) -> bool:
    """Whether a HEAD request is told the length that the body of the same answer has, if it is told one."""
    whole, bare = (ask(url, request(f"/{name}", method=method)) for method in ("GET", "HEAD"))
    return bool(bare.get("length", len(whole["body"])) == len(whole["body"]))
