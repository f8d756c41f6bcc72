"""Django behind the command line: its admin as a browser uses it, with both of its interfaces."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.frameworks.conftest import APPS, Run

# Of Django's own making: it warns of iterators that are not asynchronous, which a test here has on purpose.
PYTHON = ("-X", "dev", "-W", "error", "-W", "ignore:StreamingHttpResponse must consume synchronous:Warning")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A directory with a database."""
    directory = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, APPS / "django_site.py"], env={**os.environ, "SITE_DIRECTORY": str(directory)}, check=True
    )
    return directory


@pytest.fixture(scope="module", params=["application", "asgi_application"])
def django(run: Run, site: pathlib.Path, request: pytest.FixtureRequest, tmp_path_factory: Any) -> Any:
    directory = tmp_path_factory.mktemp("served")
    shutil.copytree(site, directory, dirs_exist_ok=True)
    server = run(f"django_site:{request.param}", variables={"SITE_DIRECTORY": str(directory)}, python=PYTHON)
    server.directory = directory
    return server


@pytest.fixture
def admin(django: Any) -> Iterator[httpx.Client]:
    """A client that has logged in."""
    with httpx.Client(base_url=django.urls[0], trust_env=False, timeout=20) as client:
        form = client.get("/admin/login/")
        fields = {"username": "root", "password": "secret", "next": "/admin/"}
        refused = client.post("/admin/login/", data=fields)
        assert refused.status_code == 403  # no token
        answer = client.post("/admin/login/", data={**fields, "csrfmiddlewaretoken": token(form.text)})
        assert (answer.status_code, answer.headers["location"]) == (302, "/admin/")
        yield client


def token(page: str) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("size", [10, 700_000])
def test_a_body_in_chunks(django: Any, size: int) -> None:
    """Under WSGI Django reads no more than CONTENT_LENGTH says."""
    answer = django.client.post("/raw", content=iter([b"x" * size, b"y" * size])).json()
    assert answer["size"] == 2 * size


def test_the_admin_is_for_those_who_logged_in(django: Any) -> None:
    answer = django.client.get("/admin/")
    assert (answer.status_code, answer.headers["location"]) == (302, "/admin/login/?next=/admin/")


def test_a_form_is_saved(django: Any, admin: httpx.Client) -> None:
    page = admin.get("/admin/").text
    assert "Log out" in page
    form = admin.get("/admin/shelf/book/add/")
    scan = os.urandom(300_000)
    saved = admin.post(
        "/admin/shelf/book/add/",
        data={"title": "Grüße", "csrfmiddlewaretoken": token(form.text), "_save": "Save"},
        files={"scan": ("page one.bin", scan)},
    )
    assert (saved.status_code, saved.headers["location"]) == (302, "/admin/shelf/book/")
    listing = admin.get("/admin/shelf/book/").text
    assert "Grüße" in listing
    assert "was added successfully" in listing
    (kept,) = (django.directory / "media" / "scans").iterdir()
    assert (kept.name, kept.read_bytes()) == ("page_one.bin", scan)
    found = re.search(r"/admin/shelf/book/(\d+)/change/", listing)
    assert found is not None
    form = admin.get(found[0])
    assert 'value="Grüße"' in form.text
    admin.post(found[0], data={"title": "Changed", "csrfmiddlewaretoken": token(form.text)})
    assert "Changed" in admin.get("/admin/shelf/book/").text


def test_logging_out(admin: httpx.Client) -> None:
    page = admin.get("/admin/").text
    assert admin.post("/admin/logout/", data={"csrfmiddlewaretoken": token(page)}).status_code == 200
    assert admin.get("/admin/").status_code == 302


@pytest.mark.filterwarnings("ignore")
def test_static_files(django: Any) -> None:
    import django as package

    for name in ("admin/css/base.css", "admin/js/vendor/jquery/jquery.js"):
        root = pathlib.Path(package.__file__).parent / "contrib" / "admin" / "static"
        assert django.client.get(f"/static/{name}").content == (root / name).read_bytes()
    assert django.client.get("/static/none.css").status_code == 404


def test_answers(django: Any) -> None:
    assert django.client.get("/where").json() == {"path": "/where", "script_name": "", "scheme": "http"}
    assert django.client.get("/lines").text == "".join(f"line {number}\n" for number in range(1000))
    failed = django.client.get("/fails")
    assert failed.status_code == 500
    assert "secret" not in failed.text
    assert django.client.get("/where/").status_code == 404
