"""The waiting requests, and whose turn it is: decided here, without any waiting.

Lower priority number first, then the endpoint with most work left, then first come first served; whoever waits long
rises. Endpoints whose buckets have no room are set aside until they do, so that one grant costs the same whether three
endpoints have waiting requests or three hundred. Granting is `limiter`'s.
"""

from asyncio import Future
from collections import OrderedDict
from heapq import heappop, heappush

from stripe_assets.limits.bucket import RateBucket
from stripe_assets.limits.crowd import Crowd
from stripe_assets.limits.priority import Priority

PATIENCE = 5.0
"""Seconds after which a waiting request rises by one priority, so that nobody starves."""


class Waiter:
    """One request that waits for a slot, and then holds it: a slot of its endpoint's bucket and one of the account's."""

    __slots__ = ("accepted", "account_slot", "endpoint_slot", "granted", "line", "number", "priority", "ready", "sent_at", "since")
    number: int  # by arrival
    since: float
    sent_at: float

    def __init__(self, line: "Line", priority: Priority) -> None:
        self.line = line
        self.priority = priority
        self.granted = False
        self.accepted = True  # until a 429 says otherwise
        self.ready: Future[None] | None = None
        self.account_slot: int | None = None
        self.endpoint_slot: int | None = None


class Line:
    """Those who wait for one endpoint, and what limits it."""

    __slots__ = ("bucket", "crowd", "entry", "first", "name", "set_aside", "waiting", "work_left")

    def __init__(self, name: str, bucket: RateBucket | None, crowd: Crowd) -> None:
        self.name = name
        self.bucket = bucket
        self.crowd = crowd
        self.waiting: tuple[OrderedDict[int, Waiter], ...] = tuple(OrderedDict() for _ in Priority)
        self.work_left = float("inf")  # not known yet: the first answer will tell, so it is worth most
        self.first: Waiter | None = None  # who is next of all who wait for it
        self.entry = -1  # which entry of the order is valid
        self.set_aside = False  # as too many of its requests are under way


class Order:
    """All lines of an account, the best of those with room first. Times are seconds, and never run backwards."""

    def __init__(self) -> None:
        """Start with nobody waiting."""
        self._lines: dict[Line, None] = {}  # those in which somebody waits
        self._ranked: list[tuple[float, float, int, int, Line]] = []
        self._aside: list[tuple[float, int, Line]] = []
        self._entries = 0
        self._arrivals = 0
        self._rises_at = float("inf")
        self.length = 0

    def __len__(self) -> int:
        return self.length

    @property
    def lines(self) -> list[Line]:
        """The lines in which somebody waits."""
        return list(self._lines)

    def add(self, waiter: Waiter, now: float) -> None:
        """Let a request wait, behind all that came before."""
        self._arrivals += 1
        waiter.number = self._arrivals
        waiter.since = now
        line = waiter.line
        queue = line.waiting[waiter.priority]
        queue[waiter.number] = waiter
        self.length += 1
        if len(queue) == 1:
            self._lines[line] = None
            self.rank(line, now)

    def remove(self, waiter: Waiter, now: float) -> None:
        """Let a request wait no more: it was granted, or has gone."""
        del waiter.line.waiting[waiter.priority][waiter.number]
        self.length -= 1
        self.rank(waiter.line, now)

    def rank(self, line: Line, now: float) -> None:
        """Put a line where it belongs, after anything about it has changed."""
        first: Waiter | None = None
        best = 0.0
        for queue in line.waiting:
            if queue:
                waiter = next(iter(queue.values()))
                rank: float = waiter.priority
                rises_at = waiter.since + PATIENCE
                if rises_at <= now:
                    patience = (now - waiter.since) // PATIENCE
                    rank -= patience
                    rises_at = waiter.since + PATIENCE * (patience + 1)
                if rises_at < self._rises_at:
                    self._rises_at = rises_at
                if first is None or rank < best or (rank == best and waiter.number < first.number):
                    first, best = waiter, rank
        line.first = first
        if first is None:
            self._lines.pop(line, None)
            line.entry = -1
            return
        line.entry = self._entries = self._entries + 1
        heappush(self._ranked, (best, -line.work_left, first.number, line.entry, line))
        if len(self._ranked) > 4 * len(self._lines) + 64:
            self._ranked = sorted(entry for entry in self._ranked if entry[3] == entry[4].entry)

    def look_again(self, now: float) -> None:
        """Put every line where it belongs: any of them may have room sooner than it had said."""
        self._rises_at = float("inf")
        for line in self.lines:
            line.set_aside = False
            self.rank(line, now)

    def room_again(self, line: Line, now: float) -> None:
        """Put a line back that was set aside: one of its requests fewer is under way."""
        line.set_aside = False
        self.rank(line, now)

    def best(self, now: float) -> Line | None:
        """Give the best line that has room; it stays in its place. None if there is none now: see `ready_at`."""
        if now >= self._rises_at:
            self.look_again(now)
        while self._aside and self._aside[0][0] <= now:
            _, entry, line = heappop(self._aside)
            if entry == line.entry:
                self.rank(line, now)
        while self._ranked:
            _, _, _, entry, line = self._ranked[0]
            if entry == line.entry:
                ready_at = line.bucket.ready_at(now) if line.bucket is not None else now
                if ready_at > now:
                    heappush(self._aside, (ready_at, entry, line))
                elif line.crowd.has_room(now):
                    return line
                else:
                    line.set_aside = True
            heappop(self._ranked)
        return None

    def ready_at(self) -> float:
        """Say when a line that was set aside may have room; infinity if that depends on something else."""
        while self._aside and self._aside[0][1] != self._aside[0][2].entry:
            heappop(self._aside)
        return self._aside[0][0] if self._aside else float("inf")
