"""Consumers of Channels, of both kinds, beside a page of Django's."""

from __future__ import annotations

from typing import Any

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="of a test",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["channels"],
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
)
django.setup()

from asgiref.sync import async_to_sync  # noqa: E402
from channels.generic.http import AsyncHttpConsumer  # noqa: E402
from channels.generic.websocket import AsyncWebsocketConsumer, JsonWebsocketConsumer, WebsocketConsumer  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.core.asgi import get_asgi_application  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402


class Sync(WebsocketConsumer):
    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if text_data == "close":
            self.close(code=4001)
            return
        self.send(text_data, bytes_data)


class Json(JsonWebsocketConsumer):
    def connect(self) -> None:
        self.accept("json" if "json" in self.scope["subprotocols"] else None)
        self.send_json({"hello": self.scope["path"]})

    def receive_json(self, content: Any, **options: Any) -> None:  # noqa: ARG002 - the signature is Channels'
        self.send_json({"got": content})


class Refused(WebsocketConsumer):
    def connect(self) -> None:
        self.close()


class Room(WebsocketConsumer):
    """One that speaks to the others by way of a channel layer."""

    def connect(self) -> None:
        async_to_sync(self.channel_layer.group_add)("room", self.channel_name)
        self.accept()

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:  # noqa: ARG002
        async_to_sync(self.channel_layer.group_send)("room", {"type": "said", "text": text_data})

    def said(self, event: dict[str, Any]) -> None:
        self.send(event["text"])

    def disconnect(self, code: int) -> None:  # noqa: ARG002 - the signature is Channels'
        async_to_sync(self.channel_layer.group_discard)("room", self.channel_name)


class Async(AsyncWebsocketConsumer):
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data, bytes_data)


class Http(AsyncHttpConsumer):
    async def handle(self, body: bytes) -> None:
        await self.send_response(200, body[::-1], headers=[(b"Content-Type", b"text/plain")])


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{request.COOKIES.get('a')} {request.COOKIES.get('b')}")


urlpatterns = [path("page", page)]

app = ProtocolTypeRouter({
    "http": URLRouter([path("http", Http.as_asgi()), path("page", get_asgi_application())]),
    "websocket": URLRouter([
        path("sync", Sync.as_asgi()),
        path("json", Json.as_asgi()),
        path("refused", Refused.as_asgi()),
        path("room", Room.as_asgi()),
        path("async", Async.as_asgi()),
    ]),
})  # fmt: skip
