"""How an answer gets to who asked, and what can happen to it on the way.

The ASGI extension `LINE` is what the line itself can do, beyond ASGI: `close` and `reset` it, `write` raw bytes after a whole
answer, and `unknown`, as if the name could not be looked up. `server` has it for real sockets, `in_process` as httpx would tell it.
"""

import asyncio
import contextlib
import gzip as compression
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

LINE = "stripe_assets.simulator.line"

SLOW_SECONDS = 5.0
DRIP_SECONDS = 1.0
"""Between one byte and the next."""
NEVER_SECONDS = 3600.0
"""How long an answer does not come, before the connection is torn after all."""
TINY = 1_000
"""Bodies below this many bytes are not worth compressing."""
SURPLUS = 64
"""Bytes that an answer is announced longer than it is."""
_NOISE = b"\xff" * 16


class Answer(NamedTuple):
    """What is to be sent: `headers` beside those that every answer has."""

    status: int
    body: bytes
    headers: Headers
    reason: str | None = None
    content_type: bytes = b"application/json"


def packed(body: bytes) -> bytes:
    """Compress a body, the same way each time."""
    return compression.compress(body, 1, mtime=0)


def damaged(body: bytes, fault: str | None) -> bytes:
    """Give what is sent of a body whose bytes were overwritten."""
    if fault != "garbled":
        return body
    middle = len(body) // 2
    return body[:middle] + _NOISE + body[middle + len(_NOISE) :]


async def deliver(scope: Scope, receive: Receive, send: Send, answer: Answer, body: bytes, headers: Headers, fault: str | None) -> None:
    """Send an answer as `body`, whose length `headers` do not tell yet, or do what the fault does to it."""
    line = (scope.get("extensions") or {}).get(LINE, _NO_LINE)
    length = len(body) + SURPLUS if fault == "too-long" else len(body) // 2 if fault == "too-short" else len(body)
    start = {"type": "http.response.start", "status": answer.status, "headers": [*headers, (b"content-length", str(length).encode())]}
    match fault:
        case "dns":
            line["unknown"]()
        case "reset":
            line["reset"]()
            await _gone(receive)
        case "timeout":
            async with _leaving(receive) as left:
                await asyncio.wait({left}, timeout=NEVER_SECONDS)
            line["reset"]()
        case "truncated" | "too-long":
            await send(start)
            await send({"type": "http.response.body", "body": body[: len(body) // 2] if fault == "truncated" else body, "more_body": True})
            line["close"]()
            await _gone(receive)
        case "drip":
            await send(start)
            await _drip(receive, send, body)
        case _:
            await send(start)
            await send({"type": "http.response.body", "body": body[:length]})
            if fault == "too-short":
                line["write"](body[length:])


async def _drip(receive: Receive, send: Send, body: bytes) -> None:
    async with _leaving(receive) as left:
        for place in range(len(body)):
            await asyncio.wait({left}, timeout=DRIP_SECONDS)
            if left.done():
                return
            await send({"type": "http.response.body", "body": body[place : place + 1], "more_body": place + 1 < len(body)})


@contextlib.asynccontextmanager
async def _leaving(receive: Receive) -> AsyncIterator[asyncio.Task[None]]:
    """Give a task that is done once whoever asked has gone."""
    task = asyncio.ensure_future(_gone(receive))
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _tear(*_bytes: bytes) -> None:
    raise ConnectionResetError("the simulator tore the connection, which only a line of its own can tell otherwise: see in_process")


_NO_LINE: dict[str, Callable[..., None]] = dict.fromkeys(("close", "reset", "unknown", "write"), _tear)
