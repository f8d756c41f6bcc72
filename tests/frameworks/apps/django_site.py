"""A Django site in one module: the admin, sessions, CSRF, static files, file upload; as a WSGI and as an ASGI app."""

from __future__ import annotations

import os
import pathlib
import sys
import types
from typing import Any

import django
from django.conf import settings

HERE = pathlib.Path(os.environ.get("SITE_DIRECTORY", "."))

settings.configure(
    DEBUG=False,
    SECRET_KEY="not-a-secret",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": HERE / "db.sqlite3"}},
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
        "django.contrib.staticfiles",
        "shelf",
    ],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
    STATIC_URL="static/",
    MEDIA_ROOT=HERE / "media",
    FILE_UPLOAD_MAX_MEMORY_SIZE=65536,
    USE_TZ=True,
)

shelf = types.ModuleType("shelf")
shelf.__file__ = __file__
shelf.__path__ = [str(HERE / "shelf")]
sys.modules["shelf"] = shelf

django.setup()

from django.contrib import admin  # noqa: E402
from django.contrib.staticfiles import finders  # noqa: E402
from django.core.asgi import get_asgi_application  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import models  # noqa: E402
from django.http import FileResponse, Http404, JsonResponse, StreamingHttpResponse  # noqa: E402
from django.urls import path  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402


class Book(models.Model):
    title = models.CharField(max_length=100)
    scan = models.FileField(upload_to="scans", blank=True)

    class Meta:
        app_label = "shelf"

    def __str__(self) -> str:
        return self.title


admin.site.register(Book)


def static(request: Any, name: str) -> Any:
    found = finders.find(name)
    if found is None:
        raise Http404(name)
    return FileResponse(pathlib.Path(found).open("rb"))


def where(request: Any) -> Any:
    return JsonResponse({"path": request.path, "script_name": request.META["SCRIPT_NAME"], "scheme": request.scheme})


def lines(request: Any) -> Any:
    return StreamingHttpResponse((f"line {number}\n" for number in range(1000)), content_type="text/plain")


async def later(request: Any) -> Any:
    import asyncio

    await asyncio.sleep(0.01)
    return JsonResponse({"body": request.body.decode()})


def fails(request: Any) -> Any:
    raise ValueError("secret detail")


@csrf_exempt
def raw(request: Any) -> Any:
    return JsonResponse({"size": len(request.body), "length": request.META.get("CONTENT_LENGTH")})


urlpatterns = [
    path("raw", raw),
    path("admin/", admin.site.urls),
    path("static/<path:name>", static),
    path("where", where),
    path("lines", lines),
    path("later", later),
    path("fails", fails),
]


def prepare() -> None:
    """Make the database with one user, root, whose password is "secret"."""
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    with connection.schema_editor() as editor:
        editor.create_model(Book)
    get_user_model().objects.create_superuser("root", "root@example.org", "secret")


application = get_wsgi_application()
asgi_application = get_asgi_application()

if __name__ == "__main__":
    prepare()
