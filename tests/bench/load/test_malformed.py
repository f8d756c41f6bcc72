from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bench.load import malformed, stand
from bench.load.stand import OURS
from dimcore import BadRequest, parse_request


def plain(raw: bytes) -> bytes:
    return raw.decode("ascii").encode().decode("unicode_escape").encode("latin-1")


def test_lua_gets_every_byte() -> None:
    text = malformed.script((rb"a\0\xff\r\n",))
    assert '{"\\097\\000\\255\\013\\010"}' in text


@pytest.mark.parametrize("raw", malformed.MALFORMED, ids=range(len(malformed.MALFORMED)))
def test_each_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_request(plain(raw))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk makes the load")
def test_a_look_at_it(tmp_path: Path) -> None:
    look = ["--rounds", "1", "--seconds", "1", "--scale", "0.01", "--servers", OURS, "--out", str(tmp_path)]
    stand.main(malformed.BENCH, look)  # latencies are a matter of the machine
    (sample,) = json.loads((tmp_path / "malformed.json").read_text())["samples"]
    assert sample["problem"] == ""
    assert sample["values"]["sent"] >= 2000
    assert sample["values"]["growth_descriptors"] <= 0
    assert sample["values"]["growth_bytes"] < 8 << 20
