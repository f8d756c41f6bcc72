"""What commands ask of a server that runs: which one is meant, and its operator's API over HTTP."""

from __future__ import annotations

import json
import os
import socket
import time
from http.client import HTTPConnection, HTTPException

from dimserver.config import BY_ATTRIBUTE, Settings, operator_token
from dimserver.errors import ConfigError, DimserverError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from typing import Any

    Address = tuple[str, int] | str

__all__ = ["NoServer", "Refusal", "Server", "SeveralServers", "add_options", "choose", "wanted_pid"]

MOST_ANSWER = 64 << 20  # bytes
PAUSE = 0.05  # seconds between two tries to get into a queue that is full
PATIENCE = 10.0  # seconds for an answer: the server waits 2 s for its own processes


class NoServer(DimserverError):
    """Nobody is there who could be asked."""

    exit_code = 3


class SeveralServers(DimserverError):
    """More than one could be meant."""

    exit_code = 2


class Refusal(DimserverError):
    """The server answered, but not with what was asked for."""


class Server:
    """A server that runs, by its operator's API.

    Args:
        address: host and port of its admin listener, or the path of a Unix socket.
        token: the operator's, if one is needed.

    Thread-safety: one thread.
    """

    def __init__(self, address: Address, token: str | None = None) -> None:
        self._address = address
        self._token = token

    @property
    def name(self) -> str:
        """How it is called in messages."""
        return BY_ATTRIBUTE["admin"].kind.show(self._address)

    def get(self, path: str) -> dict[str, Any]:
        """What is read there.

        Raises:
            NoServer: nobody answers.
            Refusal: the answer is another one than 200.
        """
        status, content = self.ask("GET", path)
        if status != 200:
            raise Refusal(f"{self.name}: {_why(status, content)}")
        return content

    def post(self, path: str, arguments: Mapping[str, object] | None = None) -> dict[str, Any]:
        """Have something changed.

        Raises:
            NoServer: nobody answers.
            Refusal: it was not done.
        """
        status, content = self.ask("POST", path, json.dumps(arguments or {}).encode())
        if status not in (200, 202):
            raise Refusal(f"{self.name}: {_why(status, content)}")
        return content

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, dict[str, Any]]:
        """Status and content of an answer.

        Raises:
            NoServer: nobody answers.
            Refusal: the answer is no JSON object, or none comes in time.
        """
        # One connection for each question: a worker that is replaced meanwhile would close a kept one.
        connection = _Connection(self._address)
        headers = {"Accept": "application/json", "Connection": "close"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            try:
                connection.connect()
            except (TimeoutError, BlockingIOError):  # the latter of a Unix socket whose queue is full
                raise Refusal(f"{self.name}: no answer within {PATIENCE:g} s") from None
            except OSError as error:
                raise NoServer(f"no server answers at {self.name}: {error.strerror or error}") from None
            try:
                connection.request(method, path, body, headers)
                response = connection.getresponse()
                data = response.read(MOST_ANSWER)
                if response.length:
                    raise HTTPException(f"{response.length} bytes are missing")
            except TimeoutError:
                raise Refusal(f"{self.name}: no answer within {PATIENCE:g} s") from None
            except (OSError, HTTPException) as error:
                raise NoServer(f"{self.name}: the connection ended without an answer ({error})") from None
        finally:
            connection.close()
        try:
            content = json.loads(data)
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise Refusal(f"{self.name}: status {response.status}, and no answer of the operator's API")
        return response.status, content


class _Connection(HTTPConnection):
    def __init__(self, address: Address) -> None:
        host, port = address if isinstance(address, tuple) else ("localhost", 80)
        super().__init__(host.strip("[]"), port, timeout=PATIENCE)
        self._path = address if isinstance(address, str) else None

    def connect(self) -> None:
        if self._path is None:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        end = time.monotonic() + PATIENCE
        while True:
            try:
                self.sock.connect(self._path)
                return
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise
                time.sleep(PAUSE)


def _why(status: int, content: Mapping[str, Any]) -> str:
    words = [str(content.get("error") or f"status {status}")]
    if "parameter" in content:
        words.append(f"{content['parameter']} is {content.get('value')}; allowed: {content.get('allowed')}")
    elif content.get("detail"):
        words.append(f"allowed {content['detail']}" if status == 403 else str(content["detail"]))
    return ": ".join(words)


# --- which one ------------------------------------------------------------------------------------


def add_options(parser: argparse.ArgumentParser, which: Any) -> None:
    """Options that say which server is meant.

    Args:
        parser: of the command.
        which: its group of options that exclude each other.
    """
    which.add_argument("--pid", metavar="N", help="process id, as in the line printed at the start")
    which.add_argument("--admin", metavar="HOST:PORT|PATH", help="its admin listener, or a control socket")
    parser.add_argument("--api-token", metavar="TOKEN", help="the operator's token, for --admin HOST:PORT")
    parser.add_argument("--api-token-file", metavar="FILE", help="a file that holds it")


def wanted_pid(given: argparse.Namespace) -> int | None:
    """The process that `--pid` names.

    Raises:
        ConfigError: it is no process id.
    """
    if given.pid is None:
        return None
    if not (given.pid.isascii() and given.pid.isdigit() and len(given.pid) <= 10 and 1 <= int(given.pid) < 1 << 31):
        raise ConfigError(f"--pid: '{given.pid}' is no process id")
    return int(given.pid)


def choose(given: argparse.Namespace, pid: int | None = None) -> Server:
    """The server that is meant.

    Args:
        given: options of `add_options`.
        pid: of its first process, where that is known.

    Raises:
        NoServer: there is none of this user, or none with this process id.
        SeveralServers: there are several.
        ConfigError: an option has a bad value.
    """
    if given.admin is not None:
        kind = BY_ATTRIBUTE["admin"].kind
        try:
            address: Any = kind.read(given.admin)
        except ValueError:
            raise ConfigError(f"--admin: '{given.admin}' is not allowed; allowed: {kind.allowed()}") from None
        return Server(address, _token(given))
    from dimserver.net.control_socket import find_servers

    found = find_servers(pid)
    if not found and pid is not None:
        raise NoServer(f"process {pid} has no control socket that is found; give --admin")
    if not found:
        raise NoServer("no server of this user runs, as far as its control socket shows; give --admin for another one")
    if len(found) > 1:
        several = ", ".join(f"--pid {each.pid}" if each.pid else f"--admin {each.path}" for each in found)
        raise SeveralServers(f"{len(found)} servers run; say which: {several}")
    return Server(found[0].path)


def _token(given: argparse.Namespace) -> str | None:
    options = {"api_token": given.api_token, "api_token_file": given.api_token_file}
    if not any(options.values()):
        variables = {name: os.environ.get(BY_ATTRIBUTE[name].variable) for name in options}
        options = {name: value for name, value in variables.items() if value}
    values = {name: BY_ATTRIBUTE[name].kind.read(value) for name, value in options.items() if value is not None}
    return operator_token(Settings(**values))
