"""One bucket's slots for processes on several machines: each process holds a lease of some of the seats.

`seats` tells why a limit is kept when each seat is used once a second. Here every seat is one process's for the next seconds, so that a
slot costs no question. That no second ever holds more uses than the limit follows from three rules:

- The register never writes down more seats than there are (`registers`).
- A process uses what it holds until TERM seconds after it *began to ask*; the register keeps it until TERM + GRACE + a seat's rest after it
  *answered*, which is later. So a seat whose owner died, or cannot be reached, has rested before another gets it, and no
  two clocks are ever compared.
- A process gives back only seats that have rested.

It holds the seats that it used in the last second and some more; all it can get while somebody waits for one; but no more than a fair
share while others want some. Round trips, late answers and clocks that differ cost nothing of the limit.

(Leasing slots, each with the time at which it is to be used, does not work: a request needs a slot of the account and one of the
endpoint in the same moment. With pyrate-limiter's sliding log as the register, leases of a tenth and a fifth of a second and
5 ms of tolerance, four simulated processes got 24 to 28% of an endpoint's 25 a second under an account's 100; 2026-11-22.)

Who asks the register, and when, belongs in `shared_server`.
"""

from collections import deque
from collections.abc import Callable, Mapping
from itertools import count
from math import ceil
from typing import NamedTuple, Protocol
from zlib import crc32

from stripe_assets.limits.registers import Claim, Rival, Standing
from stripe_assets.limits.seats import PAYBACK, seating

TERM = 2.0
"""Seconds for which a lease may be used. What a killed process held is lost to the others for a second longer than that."""
GRACE = 0.25
"""Seconds in which a slot that was taken at the very end of a lease may still be used."""
RENEWAL = 0.5
"""Seconds from one claim to the next, so that three may be lost."""
AT_ONCE = 0.1
"""Seconds after a claim in which somebody who waits makes no further one, if the last one got all it asked for."""
SPARE = 1.25
"""Seats to hold for each that was used in the last second."""
TRIAL = 0.5
"""Seconds, besides a seat's rest, for which new seats are kept before it is seen how many are used: others may be waited for first."""
TURN = 4.0
"""Seconds for which the same processes hold the seats, where there are fewer seats than processes."""


def fair_shares(wants: Mapping[str, int], seats: int, *, turn: int) -> dict[str, int]:
    """Divide seats among owners: who wants less than an equal part gets that, the others share the rest equally.

    All owners come to the same result. What cannot be divided goes to the same owners in every bucket, since a request needs a seat in
    two. Where there are fewer seats than owners who want some, each `turn` prefers others.
    """
    shares: dict[str, int] = {}
    modest = sorted(wants, key=lambda owner: wants[owner])
    while modest and wants[modest[0]] <= (part := seats // len(modest)):
        shares[modest[0]] = wants[modest[0]]
        seats -= wants[modest.pop(0)]
    if modest:
        luck = sorted(modest, key=lambda owner: crc32(f"{owner} {0 if part else turn}".encode()))
        shares |= {owner: part + (place < seats - part * len(modest)) for place, owner in enumerate(luck)}
    return shares


class Asker(Protocol):
    """Who asks the register for all buckets of one process."""

    owner: str

    def ask(self, guard: "Leased") -> None:
        """Claim for this bucket soon, and let it `learn` the answer."""
        ...

    def check(self) -> None:
        """Raise what makes it pointless to wait."""
        ...


class _Seat:
    """One seat, and when it was last used."""

    __slots__ = ("stamp",)

    def __init__(self, stamp: float) -> None:
        self.stamp = stamp


class _Taken(NamedTuple):
    """A slot that was taken: its seat, and what stood there and for the spacing before."""

    seat: _Seat
    before: float
    ideal: float
    ideal_before: float


class Leased:
    """One bucket: the seats that this process holds, in the order in which they were used."""

    def __init__(self, asker: Asker, name: str, on_change: Callable[[], None]) -> None:
        """Hold nothing yet: the first question for a slot makes the first claim."""
        self.on_change = on_change
        self._asker = asker
        self.name = name
        self._most, self._rest = 0, 0.0
        self._seats: deque[_Seat] = deque()
        self._resting: list[_Seat] = []
        self._until = self._grown_at = float("-inf")
        self._rivals: tuple[Rival, ...] = ()
        self._turn = 0
        self._want = 0
        self._is_short = True
        self._is_waited_for = False
        self._asked_at = float("-inf")
        self._ask_after = float("-inf")
        self._step = 0.0
        self._ideal = float("-inf")
        self._slot_numbers = count()
        self._taken: dict[int, _Taken] = {}

    def __repr__(self) -> str:
        return f"<Leased {self.name}: {len(self._seats)} of {self._most} seats, {len(self._resting)} to give back, wants {self._want}>"

    def resize(self, limit: float) -> None:
        """Keep this limit from now on; seats beyond it are given back."""
        self._most, self._rest = seating(limit)
        while len(self._seats) > self._most:
            self._resting.append(self._seats.popleft())

    @property
    def held(self) -> int:
        """Seats that are held, whether they are still used or only until they have rested."""
        return len(self._seats) + len(self._resting)

    def ready_at(self, now: float) -> float:
        """Say when the next slot may be had: infinity while the process holds no seat, and has asked for some."""
        self._asker.check()
        self._asked_at = now
        if not self._seats or now >= self._until:
            self._is_short = self._is_waited_for = True
            if now >= self._ask_after:
                self._asker.ask(self)
            return float("inf")
        rested_at = self._seats[0].stamp + self._rest
        if rested_at > now:
            self._is_short = True
            if now >= self._ask_after and len(self._seats) < self._most:
                self._asker.ask(self)
        return max(now, rested_at, self._ideal + self._step)

    def take(self, now: float) -> int | None:
        """Take one slot and give its number; nothing if the lease has just ended."""
        self._asker.check()
        if not self._seats or now >= self._until or max(self._seats[0].stamp + self._rest, self._ideal + self._step) > now:
            return None
        seat = self._seats[0]
        self._seats.rotate(-1)
        ideal_before, before = self._ideal, seat.stamp
        self._ideal = max(ideal_before + self._step, now - PAYBACK) if ideal_before > float("-inf") else now
        seat.stamp = now
        slot = next(self._slot_numbers)
        self._taken[slot] = _Taken(seat, before, self._ideal, ideal_before)
        return slot

    def used(self, slot: int, now: float) -> None:
        """Count the slot from now on."""
        seat = self._taken.pop(slot).seat
        seat.stamp = max(seat.stamp, now)

    def give_back(self, slot: int) -> None:
        """Leave the seat as it was found."""
        taken = self._taken.pop(slot)
        taken.seat.stamp = taken.before
        if taken.seat in self._seats:
            self._seats.remove(taken.seat)
            self._seats.appendleft(taken.seat)
        if self._ideal == taken.ideal:
            self._ideal = taken.ideal_before

    def close(self) -> None:
        """Let the lease end."""
        self._is_waited_for = False
        self._asked_at = float("-inf")

    def is_active(self, now: float) -> bool:
        """Say whether there is anything to claim: seats are held, or wanted."""
        return self.held > 0 or self._is_waited_for or now - self._asked_at < self._patience()

    def claim(self, now: float) -> Claim:
        """Say what to hold next: what is wanted, but no more than a fair share. What is too much is no longer used from now on."""
        used = sum(seat.stamp + self._rest > now for seat in self._seats)
        is_idle = not self._is_waited_for and now - self._asked_at >= self._patience()
        needed = len(self._seats) if now - self._grown_at < self._rest + TRIAL else min(self._most, ceil(SPARE * used) + 1)
        self._want = 0 if is_idle else self._most if self._is_short else needed
        goal = self._goal()
        self._resting = [seat for seat in self._resting if seat.stamp + self._rest > now]
        while len(self._seats) > goal:
            seat = self._seats.popleft()
            if seat.stamp + self._rest > now:
                self._resting.append(seat)
        self._ask_after = now + AT_ONCE
        self._is_short = False
        return Claim(self.name, max(goal, self.held), self._want, self._most, TERM + GRACE + self._rest)

    def last_claim(self) -> Claim:
        """Say that what is held is not used any more."""
        return Claim(self.name, self.held, 0, self._most, GRACE + self._rest)

    def learn(self, standing: Standing, asked_at: float) -> None:
        """Hear what is held from now on."""
        self._until = asked_at + TERM
        self._rivals = standing.rivals
        self._turn = int(standing.at // TURN)
        mine = min(self._most, max(0, standing.held - len(self._resting)))
        while len(self._seats) > mine:
            self._seats.pop()
        if len(self._seats) < mine:
            self._grown_at = asked_at
        while len(self._seats) < mine:
            self._seats.appendleft(_Seat(float("-inf")))
        is_enough = mine >= self._want
        self._step = self._rest / (self._most if is_enough else max(1, mine))
        if not is_enough:
            self._ask_after = asked_at + 2 * RENEWAL  # the regular claim comes first
        if mine:
            self._is_waited_for = False
        self.on_change()

    def _goal(self) -> int:
        """Give the seats that this process should hold, as far as it knows what others want."""
        wants = {rival.owner: rival.want for rival in self._rivals} | {self._asker.owner: self._want}
        seats = max([self._most, *(rival.most for rival in self._rivals)])
        return fair_shares(wants, seats, turn=self._turn)[self._asker.owner]

    def _patience(self) -> float:
        """Give the seconds after which a bucket that nobody asked for a slot is idle."""
        return max(TERM, 2 * self._rest)
