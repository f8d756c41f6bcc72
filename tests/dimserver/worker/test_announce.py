"""The lines at the start and the end."""

from __future__ import annotations

import io
import json
import pathlib
from typing import Any

import pytest

from dimserver.config import Settings
from dimserver.log import Log
from dimserver.worker.announce import say, served, summary, waiting

COUNTS = {"requests": 2, "errors": 1, "connections": 2, "cut_off": 0}


def test_what_is_served() -> None:
    assert served("shop:app", Settings(static="/srv")) == "shop:app"
    assert served("", Settings()) == "the built-in API"
    assert served("", Settings(static="/srv")) == "the built-in API and /srv"


def test_the_summary() -> None:
    assert summary(COUNTS, 1.25) == "2 requests (1 failed) on 2 connections in 1.2 s"
    cut = summary({**COUNTS, "cut_off": 3}, 2)
    assert cut == "2 requests (1 failed) on 2 connections, 3 cut off at the end in 2.0 s"


@pytest.fixture
def out(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    monkeypatch.setattr("dimserver.worker.announce.out", lambda settings: stream)
    return stream


def test_standard_output(out: io.StringIO, capfd: pytest.CaptureFixture[str]) -> None:
    say("a line", Settings(), Log())
    assert out.getvalue() == "dimserver: a line\n"
    assert capfd.readouterr().err == ""


def test_a_log_file_gets_it_too(out: io.StringIO, tmp_path: pathlib.Path) -> None:
    for form in ("text", "json"):
        path = tmp_path / form
        say("a line", Settings(log_file=path, log_format=form), Log("info", str(path), form))
        assert "a line" in path.read_text()
    assert out.getvalue() == "dimserver: a line\n" * 2


def test_a_stream_of_json_has_nothing_else(out: io.StringIO, capfd: pytest.CaptureFixture[str]) -> None:
    # Whatever the level: without a line it would be silent.
    say("a line", Settings(log_format="json", log_level="error"), Log("error", 2, "json"))
    assert json.loads(capfd.readouterr().err)["message"] == "a line"
    assert out.getvalue() == ""


def test_whoever_has_left_is_not_told(out: io.StringIO, tmp_path: pathlib.Path) -> None:
    log = Log("info", str(tmp_path / "log"))
    out.close()
    say("a line", Settings(), log)
    log.info("after")
    note, last = (tmp_path / "log").read_text().splitlines()
    assert note.endswith("1 messages were lost here")
    assert last.endswith("after")


class Figures:
    """A snapshot with a worker whose loop has been in one round since second 10."""

    workers = ({"round_began": 10.0}, {"round_began": None})

    def __init__(self, stages: dict[int, int], sockets: int = 0) -> None:
        self.stages = stages
        self.sockets = sockets

    def stage_count(self, method: int, stage: int) -> int:
        return self.stages.get(stage, 0) if method == 1 else 0

    def count_at(self, spiral: int, layer: int) -> int:
        return self.sockets if (spiral, layer) == (1, 4) else 0


@pytest.mark.parametrize(
    ("stages", "sockets", "number", "text"),
    [
        ({2: 1, 3: 2, 5: 1}, 0, 2, "waiting for 3 requests, 1 stream; Ctrl-C again ends them now"),
        ({3: 1}, 2, 15, "waiting for 1 request, 2 WebSockets; a second signal ends them now"),
        ({1: 4, 6: 1}, 0, 0, "waiting for the app to end; SIGQUIT ends it now"),
    ],
)
def test_what_is_waited_for(stages: dict[int, int], sockets: int, number: int, text: str) -> None:
    figures: Any = Figures(stages, sockets)
    assert waiting(figures, number, 10.05) == text


def test_a_handler_on_the_loop_is_waited_for() -> None:
    figures: Any = Figures({})
    assert waiting(figures, 2, 11.0) == "waiting for 1 request; Ctrl-C again ends them now"
