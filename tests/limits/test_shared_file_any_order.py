"""The file of slots, in any order of what its processes may do: no second too full, nothing lost, nobody held up by the dead."""

import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from limits.holding import nothing
from limits.sending import crowded

from stripe_assets.limits.seats import seating
from stripe_assets.limits.shared_file import LONGEST_PAUSE, FileGuard, SharedFile

LIMITS = {"account": 5.0, "GET /v1/charges": 2.5, "GET /v1/events": 0.5}

BUCKETS = st.sampled_from(sorted(LIMITS))

HANDLES = st.integers(0, 3)

LONGEST_LAG = 0.9
"""Seconds from `take` to `used`; a seat's rest is longer."""


@dataclass
class Slot:
    handle: int
    bucket: str
    number: int
    stamp: float
    is_used: bool = False


class Processes(RuleBasedStateMachine):
    """Four processes with a file each opened for itself; `now` is the machine's clock."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.now = 1000.0
        self.files = [SharedFile(Path(self.folder.name), "acct_1") for _ in range(4)]
        self.counted: list[Slot] = []  # taken, and not given back
        self.pending: list[Slot] = []
        self.holder: int | None = None

    def guard(self, handle: int, bucket: str) -> FileGuard:
        return self.files[handle].guard(bucket, LIMITS[bucket], nothing)

    def able(self) -> list[Slot]:
        """Give what was taken by processes that are not stopped."""
        return [slot for slot in self.pending if slot.handle != self.holder]

    @initialize(now=st.sampled_from([0.0, 1000.0, 5e6]))
    def boot(self, now: float) -> None:
        self.now = now

    @rule(seconds=st.sampled_from([0.0, 0.001, 0.05, 0.2, 0.4, 1.0, 1.202, 30.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        for slot in [slot for slot in self.pending if self.now - slot.stamp > LONGEST_LAG]:
            self.pending.remove(slot)  # its process was killed before it sent anything

    @rule(handle=HANDLES, bucket=BUCKETS)
    def take(self, handle: int, bucket: str) -> None:
        number = None if handle == self.holder else self.guard(handle, bucket).take(self.now)
        if number is not None:
            assert self.holder is None
            slot = Slot(handle, bucket, number, self.now)
            self.counted.append(slot)
            self.pending.append(slot)

    @rule(handle=HANDLES, bucket=BUCKETS)
    def take_when_it_is_ready(self, handle: int, bucket: str) -> None:
        """Who comes at the time it was told, and is the first, gets a slot."""
        ready_at = self.guard(handle, bucket).ready_at(self.now)
        assert self.now <= ready_at
        self.wait(ready_at - self.now)
        if self.holder is None:
            before = len(self.pending)
            self.take(handle, bucket)
            assert len(self.pending) == before + 1 or self.guard(handle, bucket).ready_at(self.now) > self.now

    @rule(index=st.integers(0, 9), lag=st.sampled_from([0.0, 0.01, 0.5]))
    def use(self, index: int, lag: float) -> None:
        if able := self.able():
            slot = able[index % len(able)]
            if self.now + lag - slot.stamp < LONGEST_LAG:
                self.wait(lag)
                self.pending.remove(slot)
                self.guard(slot.handle, slot.bucket).used(slot.number, self.now)
                slot.stamp, slot.is_used = self.now, True

    @rule(index=st.integers(0, 9))
    def give_back(self, index: int) -> None:
        if able := self.able():
            slot = able[index % len(able)]
            self.pending.remove(slot)
            self.guard(slot.handle, slot.bucket).give_back(slot.number)
            if self.holder is None:
                self.counted.remove(slot)

    @rule(handle=HANDLES)
    def kill(self, handle: int) -> None:
        """What it had taken stays counted; its lock is gone."""
        self.pending = [slot for slot in self.pending if slot.handle != handle]
        self.files[handle].close()
        self.files[handle] = SharedFile(Path(self.folder.name), "acct_1")
        self.holder = None if self.holder == handle else self.holder

    @rule(handle=HANDLES)
    def stop_with_the_lock(self, handle: int) -> None:
        if self.holder is None and self.files[handle].lock(self.now):
            self.holder = handle

    @rule()
    def go_on(self) -> None:
        if self.holder is not None:
            self.files[self.holder].unlock()
            self.holder = None

    @invariant()
    def no_second_is_too_full(self) -> None:
        for bucket, limit in LIMITS.items():
            assert crowded([slot.stamp for slot in self.counted if slot.is_used and slot.bucket == bucket], limit) == []

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        """While a seat has rested, the next slot is no further than even spacing and a lock that is held make it."""
        counts: dict[str, int] = defaultdict(int)
        for slot in self.counted:
            counts[slot.bucket] += self.now - slot.stamp < seating(LIMITS[slot.bucket]).rest
        for bucket, limit in LIMITS.items():
            if counts[bucket] < seating(limit).seats:
                for handle in range(4):
                    assert self.guard(handle, bucket).ready_at(self.now) <= self.now + 1 / limit + LONGEST_PAUSE

    def teardown(self) -> None:
        for file in self.files:
            file.close()
        self.folder.cleanup()


TestProcesses = Processes.TestCase

TestProcesses.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
