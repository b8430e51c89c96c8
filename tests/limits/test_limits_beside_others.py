"""Beside another program that takes a changing part of the account's allowance: little of ours is refused, little is left unused."""

import asyncio
import random
from collections import deque
from dataclasses import dataclass, field

import pytest
from virtual_time import run

from stripe_assets.limits.limiter import Limiter, Limits
from stripe_assets.limits.priority import Priority

LIMIT = 100.0
PHASE, SETTLED = 90.0, 30.0
"""Seconds for which the other program takes one part, and after which we should know it."""
READERS = 30
SHARES = (0.0, 0.3, 0.6, 0.9)


class SlidingLog:
    """Counts what was let in within the last second, exactly."""

    def __init__(self) -> None:
        self._log: deque[float] = deque()

    def admits(self, now: float) -> bool:
        while self._log and self._log[0] <= now - 1.0:
            self._log.popleft()
        if len(self._log) >= LIMIT:
            return False
        self._log.append(now)
        return True


class TokenBucket:
    """Refills evenly, and keeps up to a tenth of a second's allowance."""

    def __init__(self) -> None:
        self._tokens, self._at = LIMIT / 10, 0.0

    def admits(self, now: float) -> bool:
        self._tokens, self._at = min(LIMIT / 10, self._tokens + (now - self._at) * LIMIT), now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


@dataclass
class Rivalry:
    """We and the other program at one receiver. Requests take 50 to 100 ms, the receiver decides somewhere in the middle."""

    receiver: SlidingLog | TokenBucket
    shares: tuple[float, ...]
    seed: int
    answers: list[tuple[float, bool]] = field(default_factory=list)

    async def play(self) -> Limiter:
        self.chance = random.Random(self.seed)
        limiter = Limiter(Limits(LIMIT, None))
        end = len(self.shares) * PHASE
        await asyncio.gather(self.rival(), *(self.read(limiter, end) for _ in range(READERS)))
        return limiter

    async def rival(self) -> None:
        now = asyncio.get_running_loop().time
        for turn, share in enumerate(self.shares):
            end = (turn + 1) * PHASE
            while now() < end:
                if share:
                    self.receiver.admits(now())
                await asyncio.sleep(min(end - now() + 1e-6, 1 / (share * LIMIT)) if share else end - now())

    async def read(self, limiter: Limiter, end: float) -> None:
        now = asyncio.get_running_loop().time
        while now() < end:
            async with limiter.slot("GET /v1/charges", priority=Priority.PAGE) as slot:
                await asyncio.sleep(self.chance.uniform(0.02, 0.04))
                admitted = self.receiver.admits(now())
                self.answers.append((now(), admitted))
                await asyncio.sleep(self.chance.uniform(0.03, 0.06))
                if not admitted:
                    slot.throttled("global-rate")

    def settled(self) -> dict[float, tuple[float, float]]:
        """Give for each share of the other program which part of our requests was refused, and how much of the rest we used."""
        found = {}
        for turn, share in enumerate(self.shares):
            answers = [ok for at, ok in self.answers if turn * PHASE + SETTLED <= at < (turn + 1) * PHASE]
            found[share] = (1 - sum(answers) / len(answers), sum(answers) / ((1 - share) * LIMIT * (PHASE - SETTLED)))
        return found


@pytest.mark.parametrize("receiver", [SlidingLog, TokenBucket])
@pytest.mark.parametrize("shares", [SHARES, SHARES[::-1]], ids=["more and more", "less and less"])
@pytest.mark.parametrize("seed", [1, 2])
def test_beside_another_program_few_are_refused_and_most_of_the_rest_is_used(
    receiver: type[SlidingLog | TokenBucket], shares: tuple[float, ...], seed: int
) -> None:
    """P2: fewer than 1% of our requests meet a 429 once settled, and at least 90% of what the other leaves is used."""
    rivalry = Rivalry(receiver(), shares, seed)
    run(rivalry.play())
    settled = rivalry.settled()
    assert {share: (refused, used) for share, (refused, used) in settled.items() if refused >= 0.01 or used < 0.9} == {}
