"""A line to an application in the same process: an httpx transport that tells faults of the way as httpx tells those of a network.

It works under virtual time, where no socket does.
"""

import asyncio
import socket
from typing import Any, NoReturn

import httpx

from stripe_assets.simulator.delivery import LINE


class Line(httpx.ASGITransport):
    """Carries requests to an ASGI callable. Who asked waits for the next byte as long as the request's timeout says."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry one request there and its answer back. Raises what httpx raises for a network that fails."""
        patience: float | None = request.extensions.get("timeout", {}).get("read")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(patience) as waiting:

                async def wired(scope: Any, receive: Any, send: Any) -> None:
                    async def arrive(message: Any) -> None:
                        if patience is not None:
                            waiting.reschedule(loop.time() + patience)
                        await send(message)

                    await self.app({**scope, "extensions": {**scope.get("extensions", {}), LINE: _OPERATIONS}}, receive, arrive)

                return await httpx.ASGITransport(wired, client=self.client).handle_async_request(request)
        except TimeoutError as error:
            raise httpx.ReadTimeout(f"no byte for {patience} seconds", request=request) from error


def _close() -> NoReturn:
    raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")


def _reset() -> NoReturn:
    raise httpx.ReadError("[Errno 104] Connection reset by peer")


def _unknown() -> NoReturn:
    raise httpx.ConnectError("[Errno -2] Name or service not known") from socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def _write(_rest: bytes) -> None:
    """Lose what comes after the announced end: here every request has a connection of its own."""


_OPERATIONS = {"close": _close, "reset": _reset, "unknown": _unknown, "write": _write}
