"""The channel behind a web server on loopback: clients post batches of items, the server submits them, a consumer drains.

Server and clients are two processes. The bodies that are posted are made before the clock starts; reading their JSON is the
server's work and included. The clock stops when the last item was drained.
"""

import asyncio
import multiprocessing
import random
import socket
import statistics
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from typing import Any

import aiohttp
import msgspec
import uvicorn
import uvloop

from benchmarks.channel import BATCH, CAPACITY, CROWDS, ROUNDS, Drains, large, percentiles
from stripe_assets.queues.channel import Channel

WITHIN = 0.05
"""Seconds that an item may wait for its batch to be full."""
PATIENCE = 30.0
"""Seconds in which the server must be there, and gone."""

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
_items = msgspec.json.Decoder(list[tuple[int, bytes]])


class Front:
    """An ASGI application: `POST /items` submits a batch; `POST /end` answers when everything was drained, with how that went."""

    def __init__(self, consumers: int) -> None:
        """Start draining."""
        self.ended = asyncio.Event()
        self._channel: Channel[tuple[int, bytes]] = Channel(CAPACITY)
        self._drains = Drains()
        self._taken = 0
        self._taking = [asyncio.create_task(self._take()) for _ in range(consumers)]

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer a request."""
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        answer = b""
        if scope["path"] == "/items":
            for item in _items.decode(body):
                await self._channel.submit(item)
        else:
            answer = await self._end()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(answer))]})
        await send({"type": "http.response.body", "body": answer})

    async def _end(self) -> bytes:
        self._channel.close()
        await asyncio.gather(*self._taking)
        self.ended.set()
        return msgspec.json.encode((self._taken, percentiles(self._drains.found)))

    async def _take(self) -> None:
        while True:
            found = len(self._channel) >= BATCH
            began = time.perf_counter()
            batch = await self._channel.drain(items=BATCH, within=WITHIN)
            self._drains.add(time.perf_counter() - began, found=found)
            if not batch:
                return
            self._taken += len(batch)


def serve(consumers: int, pipe: Connection) -> None:
    """Serve on a free port, tell which by the pipe, and end after `POST /end`."""

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            front = Front(consumers)
            server = uvicorn.Server(uvicorn.Config(front, lifespan="off", log_level="critical", access_log=False))
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            pipe.send(listening.getsockname()[1])
            await front.ended.wait()
            server.should_exit = True
            await serving

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def run(*, items: int) -> None:
    """Measure both crowds, and print a table."""
    chance = random.Random(1)
    bodies = [msgspec.json.encode([large(chance) for _ in range(BATCH)]) for _ in range(100)]
    print(f"\nOver HTTP on loopback, large items, {BATCH} a post, the server a process of its own")
    print(f"  {'':<30}{'items a second (lowest to highest)':>40}   {'drain() with a batch inside: p50':>32}{'p99':>7}")
    for clients, consumers in CROWDS:
        runs = [_measure(bodies, clients, consumers, posts=items // BATCH // clients) for _ in range(ROUNDS)]
        paces = [pace for pace, _ in runs]
        pace = f"{statistics.median(paces):,.0f} ({min(paces):,.0f} to {max(paces):,.0f})"
        p50, p99 = (statistics.median(found[place] for _, found in runs) for place in (0, 1))
        print(f"  {f'{clients} clients, {consumers} consumers':<30}{pace:>40}   {p50:>32,.0f}{p99:>7,.0f}")


def _measure(bodies: list[bytes], clients: int, consumers: int, *, posts: int) -> tuple[float, tuple[float, float]]:
    """Let each client make so many posts; give items a second and the percentiles of the consumers' drains."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=serve, args=(consumers, theirs))
    server.start()
    try:
        if not ours.poll(PATIENCE):
            raise SystemExit("the server did not come up")
        url = f"http://127.0.0.1:{ours.recv()}"
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_post(url, bodies, clients, posts))
    finally:
        server.join(PATIENCE)
        server.kill()


async def _post(url: str, bodies: list[bytes], clients: int, posts: int) -> tuple[float, tuple[float, float]]:
    async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=clients)) as session:

        async def bring(client: int) -> None:
            for number in range(posts):
                async with session.post("/items", data=bodies[(client + number) % len(bodies)]) as answer:
                    answer.raise_for_status()

        began = time.perf_counter()
        await asyncio.gather(*map(bring, range(clients)))
        async with session.post("/end") as answer:
            answer.raise_for_status()
            taken, found = msgspec.json.decode(await answer.read(), type=tuple[int, tuple[float, float]])
        seconds = time.perf_counter() - began
    assert taken == clients * posts * BATCH
    return taken / seconds, found
