"""Serving in the calling process."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest

from dimserver import App
from dimserver.worker import serve as module
from dimserver.worker.worker import Worker

SOON = 5.0  # seconds


@pytest.fixture
def app() -> App:
    return App()


def test_serve_off_the_main_thread_leaves_signals_alone(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    begun: list[Worker] = []
    original = Worker.run

    class Watched(Worker):
        def run(self, signals: bool = False) -> None:
            assert not signals
            begun.append(self)
            original(self, signals)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "Worker", Watched)
        codes: list[int] = []
        thread = threading.Thread(target=lambda: codes.append(app.run(port=0)))
        thread.start()
        while not begun:
            time.sleep(0.01)
        begun[0].stop()
        thread.join(SOON)
    assert codes == [0]
    assert signal.getsignal(signal.SIGTERM) is before
    out = capsys.readouterr().out
    assert out.startswith("dimserver: serving App on http://127.0.0.1:")
    assert "\ndimserver: stopped; 0 requests" in out


def test_more_workers_are_the_supervisors(app: App, capfd: pytest.CaptureFixture[str]) -> None:
    original = Worker.run

    def run(self: Worker, signals: bool = False) -> None:
        self.stop()
        original(self, signals)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Worker, "run", run)
        assert app.run(port=0, workers=2) == 0
    assert "this program serves in its own process; `dimserver run` starts several" in capfd.readouterr().err


def test_a_signal_right_behind_the_first_line_is_a_stop() -> None:
    """Whoever waits for that line may send one at once: by then it is heard."""
    program = """
import os, signal
from dimserver import App
from dimserver.worker import serve

say = serve.say

def say_and_signal(line, *rest):
    say(line, *rest)
    if line.startswith("serving "):
        os.kill(os.getpid(), signal.SIGTERM)

serve.say = say_and_signal
raise SystemExit(App().run(port=0))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\ndimserver: stopped; 0 requests" in done.stdout
