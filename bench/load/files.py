"""``python -m bench.load.files``: static files against nginx with sendfile, in speed, bytes and header fields."""

from __future__ import annotations

import os
import random
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.load import client, stand, wrk
from bench.load.process import BODY, Running
from bench.load.results import Results, Sample, Values
from bench.load.stand import OURS, Bench, Column, Stand, Target

NGINX = "nginx"
NGINX_CACHED = "nginx, open_file_cache"
SMALL_BYTES = 1024
LARGE_BYTES = 100 << 20
CONNECTIONS = 64
WARM_UP_SECONDS = 1
SETTLE_SECONDS = 2.5  # a file that was just written is not kept in memory by anybody

NGINX_CONF = """\
{user}
daemon off;
worker_processes 1;
pid {scratch}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    include {types};
    default_type application/octet-stream;
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    client_body_temp_path {scratch}/body; proxy_temp_path {scratch}/proxy; fastcgi_temp_path {scratch}/fastcgi;
    uwsgi_temp_path {scratch}/uwsgi; scgi_temp_path {scratch}/scgi;
    {cache}
    server {{ listen 127.0.0.1:{{port}}; root {root}; }}
}}
"""
MIME_TYPES = [Path(prefix, "etc/nginx/mime.types") for prefix in ("/", "/usr/local", "/opt/homebrew")]
CACHE = "open_file_cache max=1000 inactive=60s;"

TYPED = (
    "a.html", "a.css", "a.js", "a.svg", "a.json", "a.txt", "a.xml", "a.png", "a.woff2", "a.pdf", "no-extension",
    "a.unknown", "empty.txt",
)  # fmt: skip

# Each is asked of both servers, and the answers are laid side by side.
QUESTIONS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("whole", "GET", "/small.bin", ()),
    ("head", "HEAD", "/small.bin", ()),
    ("large", "GET", "/large.bin", ()),
    ("index", "GET", "/", ()),
    *((f"type of {name}", "GET", f"/{name}", ()) for name in TYPED),
    ("head of an empty file", "HEAD", "/empty.txt", ()),
    ("range of an empty file", "GET", "/empty.txt", ("Range: bytes=0-",)),
    ("last bytes of an empty file", "GET", "/empty.txt", ("Range: bytes=-5",)),
    ("first bytes", "GET", "/large.bin", ("Range: bytes=0-1023",)),
    ("last bytes", "GET", "/large.bin", ("Range: bytes=-777",)),
    ("more last bytes than there are", "GET", "/small.bin", ("Range: bytes=-5000",)),
    ("from the middle", "GET", "/small.bin", ("Range: bytes=500-",)),
    ("past the end", "GET", "/small.bin", ("Range: bytes=500-5000",)),
    ("all of it as a range", "GET", "/small.bin", ("Range: bytes=0-",)),
    ("range of a text", "GET", "/a.html", ("Range: bytes=0-3",)),
    ("two ranges", "GET", "/large.bin", ("Range: bytes=0-9,50000-50009",)),
    ("ranges that overlap", "GET", "/large.bin", ("Range: bytes=0-99,50-149,-1",)),
    ("ranges longer than the file", "GET", "/a.html", ("Range: bytes=0-,2-",)),
    ("two ranges of a text", "GET", "/a.html", ("Range: bytes=0-1,5-6",)),
    ("no such range", "GET", "/small.bin", ("Range: bytes=5000-",)),
    ("two ranges, one not there", "GET", "/small.bin", ("Range: bytes=0-9,5000-",)),
    ("a range for HEAD", "HEAD", "/small.bin", ("Range: bytes=0-9",)),
    ("a unit nobody knows", "GET", "/small.bin", ("Range: lines=0-9",)),
    ("range if unchanged", "GET", "/small.bin", ("Range: bytes=0-9", "If-Range: {modified}")),
    ("range if unchanged, changed", "GET", "/small.bin", ("Range: bytes=0-9", 'If-Range: "other"')),
    ("range if unchanged, later date", "GET", "/small.bin", ("Range: bytes=0-9", "If-Range: {now}")),
    ("not modified", "GET", "/small.bin", ("If-Modified-Since: {modified}",)),
    ("not modified, HEAD", "HEAD", "/small.bin", ("If-Modified-Since: {modified}",)),
    ("modified since", "GET", "/small.bin", ("If-Modified-Since: Sat, 01 Jan 2000 00:00:00 GMT",)),
    ("any is not wanted", "GET", "/small.bin", ("If-None-Match: *",)),
    ("not another", "GET", "/small.bin", ('If-None-Match: "other"',)),
    ("only another", "GET", "/small.bin", ('If-Match: "other"',)),
    ("any will do", "GET", "/small.bin", ("If-Match: *",)),
    ("only an older one", "GET", "/small.bin", ("If-Unmodified-Since: Sat, 01 Jan 2000 00:00:00 GMT",)),
    ("unmodified since", "GET", "/small.bin", ("If-Unmodified-Since: {modified}",)),
    ("nothing there", "GET", "/absent.bin", ()),
    ("directory without its slash", "GET", "/directory", ()),
)
# The text of such a page is each server's own affair.
OWN_BODY = {
    "nothing there",
    "no such range",
    "range of an empty file",
    "last bytes of an empty file",
    "only another",
    "only an older one",
    "directory without its slash",
}
# Differ by nature: a clock, a name, a validator made in each server's own way.
IGNORED_FIELDS = {"date", "server", "etag"}


def lay_out(directory: Path, large_bytes: int) -> None:
    """Write the files that are served; the index is what the harness asks for to see that a server is up."""
    directory.mkdir(mode=0o755)
    chance = random.Random(7)
    (directory / "index.html").write_bytes(BODY)
    (directory / "small.bin").write_bytes(chance.randbytes(SMALL_BYTES))
    block = chance.randbytes(1 << 20)
    with (directory / "large.bin").open("wb") as file:
        for at in range(0, large_bytes, len(block)):
            file.write(block[: large_bytes - at])
    for name in TYPED:
        (directory / name).write_bytes(b"" if name.startswith("empty") else BODY)
    (directory / "directory").mkdir()
    (directory / "directory" / "index.html").write_bytes(BODY)
    an_hour_ago = time.time() - 3600
    for path in directory.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (an_hour_ago, an_hour_ago))


def nginx_command(scratch: Path, root: Path, cached: bool) -> tuple[str, ...] | None:
    """Return what starts nginx with a configuration of ours; `None` where it is not installed."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        return None
    types = next(path for path in MIME_TYPES if path.exists())
    place = scratch / ("cached" if cached else "plain")
    place.mkdir(exist_ok=True)
    text = NGINX_CONF.format(
        user="user root;" if os.geteuid() == 0 else "",
        types=types,
        scratch=place,
        root=root,
        cache=CACHE if cached else "",
    )
    # The port is only known when the server is started, so the shell writes it into the file.
    (place / "nginx.conf.in").write_text(text)
    start = f"sed s/{{port}}/$1/ {place}/nginx.conf.in > {place}/nginx.conf && exec {program} -c {place}/nginx.conf"
    return ("/bin/sh", "-c", start.replace("{port}", "[{]port[}]"), "sh", "{port}")


def servers(stand_: Stand, root: Path) -> dict[str, tuple[str, ...]]:
    """Return the commands of the servers, ours first."""
    found: dict[str, tuple[str, ...]] = {
        OURS: ("-m", "dimserver", "run", "--static", str(root), "--port", "{port}", "--log-level", "warning")
    }
    for name, cached in ((NGINX, False), (NGINX_CACHED, True)):
        command = nginx_command(stand_.scratch, root, cached)
        if command is None:
            print(f"left out: {name} is not installed", file=sys.stderr)
        else:
            found[name] = command
    return {name: command for name, command in found.items() if stand_.takes(name)}


def small(running: Running, stand_: Stand, path: str, fields: tuple[str, ...], status: int, size: int) -> Values:
    """Many requests for few bytes, wrk's 64 connections."""
    answer = client.exchange(running.port, client.head_of("GET", path, *fields))
    if (answer.status, answer.received) != (status, size):
        raise wrk.LoadError(f"{path}: {answer.status} with {answer.received} bytes, not {status} with {size}")

    def press(seconds: int) -> wrk.Load:
        cpu = stand_.client_cpu
        return wrk.run(running.port, CONNECTIONS, seconds, 1, cpu, stand_.scratch, path=path, fields=fields)

    if stand_.scale == 1:
        press(WARM_UP_SECONDS)
    before = running.cpu_seconds()
    seen = press(stand_.seconds)
    spent = running.cpu_seconds() - before
    if not seen.requests or any(seen.errors.values()):
        raise wrk.LoadError(f"{path}: {seen.requests} answers, {seen.errors}")
    return {"per_second": seen.per_second, "cpu_us": spent / seen.requests * 1e6, "p99_us": seen.p99_us}


def large(running: Running, stand_: Stand) -> Values:
    """One large file again and again over one connection at a time."""
    size = stand_.scaled(LARGE_BYTES)
    head = client.head_of("GET", "/large.bin")
    client.exchange(running.port, head)
    before, began, count = running.cpu_seconds(), time.perf_counter(), 0
    while (elapsed := time.perf_counter() - began) < stand_.seconds:
        answer = client.exchange(running.port, head)
        if (answer.status, answer.received) != (200, size):
            raise wrk.LoadError(f"{answer.status} with {answer.received} of {size} bytes")
        count += 1
    spent = running.cpu_seconds() - before
    return {"mib_per_second": count * size / elapsed / 2**20, "cpu_ms_per_gib": spent / (count * size / 2**30) * 1e3}


def differences(ours: int, theirs: int) -> dict[str, list[str]]:
    """Ask both the same, and return what differs, by question; the ports are those of the servers."""
    found: dict[str, list[str]] = {}
    seen = client.exchange(ours, client.head_of("GET", "/small.bin")).fields()
    modified, now = (seen.get(field, "") for field in ("last-modified", "date"))
    for name, method, path, fields in QUESTIONS:
        head = client.head_of(method, path, *(field.format(modified=modified, now=now) for field in fields))
        one, two = (client.exchange(port, head, keep=1 << 40) for port in (ours, theirs))
        lines = [] if one.status == two.status else [f"status {one.status}, nginx {two.status}"]
        a, b = one.fields(), two.fields()
        if name not in OWN_BODY and _content(one, a) != _content(two, b):
            lines.append(f"body of {one.received} bytes, nginx {two.received} bytes, not the same")
        ignored = IGNORED_FIELDS | ({"content-length", "content-type"} if name in OWN_BODY else set())
        if "boundary=" in a.get("content-type", ""):
            ignored |= {"content-length"}  # boundaries are of any length
        for field in sorted((a.keys() | b.keys()) - ignored):
            mine, other = (fields.get(field, "").partition("boundary=")[0] for fields in (a, b))
            if mine != other:
                lines.append(f"`{field}`: {_shown(mine)}, nginx {_shown(other)}")
        found[name] = lines
    return found


def _content(answer: client.Answer, fields: dict[str, str]) -> bytes:
    """The body, with the boundary between its parts, which is anybody's choice, taken out."""
    boundary = fields.get("content-type", "").partition("boundary=")[2]
    if not boundary:
        return answer.body
    return answer.body.removeprefix(b"\r\n").replace(boundary.encode(), b"")  # nginx begins with an empty line


def _shown(value: str) -> str:
    return f"`{value}`" if value else "absent"


def take(stand_: Stand, results: Results) -> Iterator[Sample]:
    root = stand_.scratch / "root"
    stand_.scratch.chmod(0o755)
    lay_out(root, stand_.scaled(LARGE_BYTES))
    commands = servers(stand_, root)
    if stand_.scale == 1:
        time.sleep(SETTLE_SECONDS)
    measures: dict[str, Callable[[Running], Values]] = {
        "file-1k": lambda running: small(running, stand_, "/small.bin", (), 200, SMALL_BYTES),
        "file-range": lambda running: small(running, stand_, "/large.bin", ("Range: bytes=4096-5119",), 206, 1024),
        "file-100m": lambda running: large(running, stand_),
    }
    for number in range(stand_.rounds):
        for scenario, measure in measures.items():
            for name, command in commands.items():

                def one(name: str = name, command: tuple[str, ...] = command, measure: object = measure) -> Values:
                    with stand_.serve(name, command) as running:
                        values: Values = measure(running)  # type: ignore[operator]
                        return values

                yield stand.attempt(scenario, name, number, one)
    if {OURS, NGINX} <= commands.keys():
        with stand_.serve(OURS, commands[OURS]) as ours, stand_.serve(NGINX, commands[NGINX]) as theirs:
            found = differences(ours.port, theirs.port)
        for name, lines in found.items():
            results.method[f"beside nginx: {name}"] = "; ".join(lines) or "the same"
        count = sum(bool(lines) for lines in found.values())
        bodies = sum(any(line.startswith(("body", "status")) for line in lines) for lines in found.values())
        values = {"questions": float(len(found)), "other_bytes": float(bodies), "other_fields": float(count - bodies)}
        yield Sample("file-same", OURS, 0, values)


_SMALL = (
    Column("per_second", "req/s", "{:,.0f}".format),
    Column("cpu_us", "CPU µs/request", "{:.2f}".format),
    Column("p99_us", "p99 µs", "{:,.0f}".format),
)

BENCH = Bench(
    key="files",
    title="Static files against nginx",
    text=(
        "Files from the page cache, one worker process each; nginx with `sendfile on` and `tcp_nopush on`, and once "
        "more with the descriptor cache it has to be told to use.  Small answers: wrk, 64 connections; the large "
        "file: one connection after the other, read by a client that only counts."
    ),
    take=take,
    scenarios={
        "file-1k": ("1 KiB file", _SMALL),
        "file-range": ("1 KiB out of a large file (Range)", _SMALL),
        "file-100m": (
            "100 MiB file",
            (
                Column("mib_per_second", "MiB/s", "{:,.0f}".format),
                Column("cpu_ms_per_gib", "CPU ms/GiB", "{:,.0f}".format),
            ),
        ),
        "file-same": (
            "Questions asked of both, and how many are answered differently",
            (
                Column("questions", "questions", "{:.0f}".format),
                Column("other_bytes", "other status or bytes", "{:.0f}".format),
                Column("other_fields", "other fields alone", "{:.0f}".format),
            ),
        ),
    },
    targets=(
        Target(
            "100 MiB file, MiB/s",
            "≥ 0.9 × nginx",
            stand.against("file-100m", "mib_per_second", NGINX),
            lambda ratio: ratio >= 0.9,
            "{:.2f}".format,
        ),
        Target(
            "1 KiB file, req/s",
            "≥ 0.7 × nginx",
            stand.against("file-1k", "per_second", NGINX),
            lambda ratio: ratio >= 0.7,
            "{:.2f}".format,
        ),
        Target(
            "questions answered with other bytes than nginx's",
            "none",
            stand.median_of("file-same", "other_bytes"),
            lambda count: count == 0,
            "{:.0f}".format,
        ),
    ),
)

if __name__ == "__main__":
    sys.exit(stand.main(BENCH))
