"""A headless Chromium, spoken to in its own protocol (CDP) over one WebSocket."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Self

from tests.support.waiting import PATIENCE, until
from tests.wire.wsclient import WebSocketClient

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--no-proxy-server", "--remote-debugging-port=0",
)  # fmt: skip


class Page:
    """A tab.

    Args:
        url: shown at once.
    """

    def __init__(self, browser: Chromium, url: str) -> None:
        self._browser = browser
        self.target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        self.show(url)

    def show(self, url: str) -> None:
        """Go there, and wait until it is loaded."""
        found = self._browser.call("Page.navigate", self.session, url=url)
        assert "errorText" not in found, found["errorText"]
        self.until(f"location.href == new URL({json.dumps(url)}).href && document.readyState == 'complete'")

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression, once the promise it may be is kept.

        Raises:
            AssertionError: it threw.
        """
        done = self._browser.call(
            "Runtime.evaluate", self.session, expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def until(self, condition: str) -> Any:
        """Wait until an expression is true; its value."""
        return until(lambda: self.run(condition), condition)

    def text(self) -> str:
        """What the page shows."""
        return str(self.run("document.body.innerText"))

    def close(self) -> None:
        self._browser.call("Target.closeTarget", targetId=self.target)


class Chromium:
    """The browser, with a profile of its own.

    Args:
        profile: an empty directory.
    """

    def __init__(self, profile: Path) -> None:
        assert PROGRAM is not None
        self._log = (profile / "log").open("wb")
        self._process = subprocess.Popen(
            [PROGRAM, *FLAGS, f"--user-data-dir={profile / 'profile'}", "about:blank"],
            stdout=self._log,
            stderr=self._log,
        )
        self._number = 0
        try:
            self._socket = self._connect(profile / "profile" / "DevToolsActivePort")
        except BaseException:
            self.close()
            raise

    def _connect(self, told: Path) -> WebSocketClient:
        end = time.monotonic() + PATIENCE
        while True:
            assert self._process.poll() is None, "the browser has ended"
            assert time.monotonic() < end, "the browser does not start"
            lines = told.read_text().split() if told.exists() else []
            if len(lines) == 2:
                return WebSocketClient(f"ws://127.0.0.1:{lines[0]}{lines[1]}")
            time.sleep(0.05)

    def call(self, method: str, session: str | None = None, **parameters: Any) -> Any:
        """A command of the protocol; its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.receive())
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def page(self, url: str) -> Page:
        return Page(self, url)

    def close(self) -> None:
        """End it; again is fine."""
        if hasattr(self, "_socket"):
            self._socket.close()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
