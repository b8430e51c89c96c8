"""A Stripe that answers oddly on some paths: an ASGI callable in front of the simulator that changes its answers."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from stripe_assets.simulator.http import Application

Answer = tuple[int, dict[str, Any]]
Alter = Callable[[dict[str, str], int, dict[str, Any]], Answer]
"""Given the parameters of a request and the simulator's status and body, give those that are sent."""


class Altered:
    """Serves `app`; what is asked of the paths in `alter` is answered as they say."""

    def __init__(self, app: Application, alter: dict[str, Alter]) -> None:
        self.app = app
        self.alter = alter

    @property
    def requests(self) -> list[Any]:
        """The requests that have been answered."""
        return self.app.requests

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        alter = self.alter.get(scope["path"])
        if alter is None:
            await self.app(scope, receive, send)
            return
        sent: list[Any] = []

        async def keep(message: Any) -> None:
            sent.append(message)

        plain = {**scope, "headers": [header for header in scope["headers"] if header[0] != b"accept-encoding"]}
        await self.app(plain, receive, keep)
        params = dict(parse_qsl(scope["query_string"].decode()))
        status, body = alter(params, sent[0]["status"], json.loads(sent[1]["body"]))
        text = json.dumps(body).encode()
        headers = [header for header in sent[0]["headers"] if header[0] != b"content-length"]
        await send({**sent[0], "status": status, "headers": [*headers, (b"content-length", str(len(text)).encode())]})
        await send({**sent[1], "body": text})


def failing(_params: dict[str, str], _status: int, _body: dict[str, Any]) -> Answer:
    """Answer with a fault of Stripe's, always."""
    return 500, {"error": {"type": "api_error", "message": "An unknown error occurred."}}


def forbidden(_params: dict[str, str], _status: int, _body: dict[str, Any]) -> Answer:
    """Answer as to a key that lacks the permission."""
    return 403, {"error": {"type": "invalid_request_error", "message": "The provided key does not have the required permissions."}}


def empty(_params: dict[str, str], _status: int, body: dict[str, Any]) -> Answer:
    """Answer with a list that has nothing."""
    return 200, {**body, "data": [], "has_more": False}
