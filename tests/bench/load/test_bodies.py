from __future__ import annotations

import json
from pathlib import Path

from bench.load import bodies, stand
from bench.load.results import Results
from bench.load.stand import OURS


def test_a_chunked_body_is_whole() -> None:
    pieces = 2 * bodies.PIECES_A_SEND + 1
    data = b"".join(bodies.chunked(pieces * bodies.PIECE_BYTES - 1))
    assert data.count(b"10000\r\n") == pieces
    assert data.endswith(b"\r\n0\r\n\r\n")


def test_the_best_of_the_peers_counts() -> None:
    target = bodies.BENCH.targets[0]
    results = Results()
    for name, figure in ((OURS, 99.0), ("uvicorn", 50.0), ("granian (WSGI)", 100.0)):
        results.samples.append(stand.attempt("upload", name, 0, lambda figure=figure: {"mib_per_second": figure}))
    assert target.value(results) == 0.99
    assert not target.holds(0.99)


def test_a_look_at_it(tmp_path: Path) -> None:
    look = ["--rounds", "1", "--seconds", "0", "--scale", "0.01", "--servers", OURS, "--out", str(tmp_path)]
    assert stand.main(bodies.BENCH, look) == 0
    samples = json.loads((tmp_path / "bodies.json").read_text())["samples"]
    assert [sample["server"] for sample in samples] == [OURS, bodies.LOOP, bodies.THREAD]
    assert [sample["problem"] for sample in samples] == [""] * 3
