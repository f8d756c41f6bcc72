"""Files through middleware that compresses: none of it knows `http.response.pathsend`, and none needs to."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import pytest
from tests.frameworks.conftest import Run

pytest.importorskip("starlette")
FILES = {"small": b"a line\n", "large": b"a line of a file, as there are many\n" * 20_000}


@pytest.fixture(scope="module")
def compressed(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """``compressed("--asgi-pathsend")`` starts a server for ``compressed_app``."""
    pytest.importorskip("brotli_asgi")
    pytest.importorskip("zstd_asgi")
    files: pathlib.Path = tmp_path_factory.mktemp("files")
    for name, text in FILES.items():
        (files / name).write_bytes(text)

    def start(*words: str) -> Any:
        return run("compressed_app:app", *words, variables={"COMPRESSED_APP_FILES": str(files)})

    return start


def test_files_behind_middleware_that_compresses(compressed: Run) -> None:
    server = compressed()
    for coding in ("gzip", "br", "zstd"):
        for name, text in FILES.items():
            with server.client.stream("GET", f"/{coding}/{name}", headers={"Accept-Encoding": coding}) as answer:
                sent = b"".join(answer.iter_raw())
            assert answer.status_code == 200
            if name == "large":
                assert answer.headers["content-encoding"] == coding
                assert len(sent) < len(text) // 10
            else:
                assert sent == text
            assert server.client.get(f"/plain/{name}").content == text


def test_the_kernel_sends_files_where_that_is_asked_for(compressed: Run) -> None:
    server = compressed("--asgi-pathsend")
    assert server.client.get("/plain/large").content == FILES["large"]
    # What it is off for: Starlette's own middleware lets the file pass as it is.
    assert "content-encoding" not in server.client.get("/gzip/large", headers={"Accept-Encoding": "gzip"}).headers


@pytest.mark.slow
def test_gradio_renders(run: Run) -> None:
    pytest.importorskip("gradio")
    server = run("gradio_app:app", python=())
    page = server.client.get("/")
    assert page.status_code == 200
    assert "<gradio-app" in page.text or "gradio_config" in page.text
    assets = re.findall(r'(?:src|href)="(\.?/assets/[^"]+)"', page.text)
    assert assets
    for asset in assets[:5]:
        answer = server.client.get(asset.removeprefix("."), headers={"Accept-Encoding": "gzip, br"})
        assert answer.status_code == 200
        assert answer.content
    assert server.client.get("/config").json()["components"]
