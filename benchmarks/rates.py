"""How much of a rate limit is used, and whether it is ever exceeded, by one process and by four that share it.

The limit is that of the account and, the same again, that of one endpoint: each request needs a slot of both. Requests are datagrams to
this process, stamped by the kernel when they arrive: what counts is what a receiver sees.
"""

import asyncio
import socket
import struct
import subprocess
import sys
import tempfile
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.servers import NotInstalled, postgres_server, redis_server
from stripe_assets.limits.limiter import Limiter, Limits
from stripe_assets.limits.priority import Priority
from stripe_assets.limits.sharing import open_sharing

LIMITS = (25, 100, 500)
SETTLING = 5.0
"""Seconds, after the last process has sent its first request, that do not count for the share: leases are divided meanwhile."""
PATIENCE = 60.0
"""Seconds in which every process must have sent a request."""
SENDERS = 16
SO_TIMESTAMPNS = 35
"""Linux's name for stamps of arrival, which Python's `socket` does not know."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Share of the limit that was used once it was settled, and the most that any second held from the first request on."""

    limit: int
    processes: int
    share: float
    fullest_second: int
    by_process: tuple[int, ...]


@contextmanager
def _file() -> Iterator[str]:
    yield "local"


@contextmanager
def _none() -> Iterator[str]:
    yield ""


STORES: dict[str, Callable[[], AbstractContextManager[str]]] = {
    "in process": _none,
    "file": _file,
    "Redis": redis_server,
    "PostgreSQL": postgres_server,
}


def run(*, seconds: float) -> None:
    """Measure every store, limit and number of processes, and print a table."""
    print(f"{'':12} {'a second':>8} {'processes':>9} {'share':>7} {'fullest second':>14}  by process")
    for name, store in STORES.items():
        for limit in LIMITS:
            for processes in (1, 4) if name != "in process" else (1,):
                try:
                    with store() as address:
                        _print(name, measure(address, limit=limit, processes=processes, seconds=seconds))
                except NotInstalled as error:
                    print(f"{name:12} {limit:8} {processes:9} not measured: {error} is not installed")


def measure(address: str, *, limit: int, processes: int, seconds: float) -> Measured:
    """Let processes send as fast as they may, and count what arrives."""
    with (
        tempfile.TemporaryDirectory() as folder,
        receiver() as socket_,
        senders(address, folder, limit=limit, processes=processes, port=socket_.getsockname()[1]),
    ):
        return count(socket_, limit=limit, processes=processes, seconds=seconds)


@contextmanager
def receiver() -> Iterator[socket.socket]:
    """Open where requests arrive."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as socket_:
        socket_.bind(("127.0.0.1", 0))
        socket_.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        socket_.settimeout(PATIENCE)
        yield socket_


@contextmanager
def senders(address: str, folder: str, *, limit: int, processes: int, port: int) -> "Iterator[list[subprocess.Popen[bytes]]]":
    """Run processes that send until the block ends."""
    with ExitStack() as stack:
        started = []
        for number in range(processes):
            command = [sys.executable, "-m", "benchmarks.rates", address, folder, str(limit), str(port), str(number)]
            process = stack.enter_context(subprocess.Popen(command))
            stack.callback(process.terminate)
            started.append(process)
        yield started


def count(socket_: socket.socket, *, limit: int, processes: int, seconds: float) -> Measured:
    """Receive until the measured time is over."""
    arrivals: list[float] = []
    waited_for = set(range(processes))
    by_process = [0] * processes
    since = until = float("inf")
    while not arrivals or arrivals[-1] < until:
        at, number = receive(socket_)
        arrivals.append(at)
        waited_for.discard(number)
        if not waited_for and until == float("inf"):
            since, until = at + SETTLING, at + SETTLING + seconds
        by_process[number] += at >= since
    first = bisect_left(arrivals, since)
    share = (len(arrivals) - 1 - first) / (limit * (arrivals[-1] - arrivals[first]))
    return Measured(limit, processes, share, fullest_second(arrivals), tuple(by_process))


def receive(socket_: socket.socket) -> tuple[float, int]:
    """Give when the next request arrived, and from which process."""
    text, ancillary, _, _ = socket_.recvmsg(16, 64)
    seconds, nanoseconds = struct.unpack("ll", ancillary[0][2])
    return seconds + nanoseconds / 1e9, int(text)


def fullest_second(arrivals: list[float]) -> int:
    """Count the most that any second holds."""
    ordered = sorted(arrivals)
    return max(bisect_left(ordered, first + 1.0) - place for place, first in enumerate(ordered))


def _print(name: str, measured: Measured) -> None:
    share, parts = f"{100 * measured.share:.1f}%", " ".join(map(str, measured.by_process))
    print(f"{name:12} {measured.limit:8} {measured.processes:9} {share:>7} {measured.fullest_second:14}  {parts}")


async def _send(address: str, folder: str, limit: int, port: int, number: int) -> None:
    """Be one process: send as fast as the slots come."""
    sharing = open_sharing(address, account="acct_benchmark", folder=Path(folder)) if address else None
    limiter = Limiter(Limits(account=limit, endpoint=limit), sharing=sharing)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", port))

        async def keep_sending() -> None:
            while True:
                async with limiter.slot("GET /v1/charges", priority=Priority.PAGE):
                    sender.send(str(number).encode())

        await asyncio.gather(*(keep_sending() for _ in range(SENDERS)))


if __name__ == "__main__":
    asyncio.run(_send(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])))
