"""The file of slots, in any order of what its processes may do: no second too full, nothing lost, nobody held up by the dead."""

import logging
import os
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from limits.sending import crowded

from stripe_assets.errors import ConfigurationError
from stripe_assets.limits.seats import MOST_SEATS, seating
from stripe_assets.limits.shared_file import LONGEST_PAUSE, MOST_BUCKETS, SIZE, FileGuard, SharedFile, default_folder

LIMITS = {"account": 5.0, "GET /v1/charges": 2.5, "GET /v1/events": 0.5}
BUCKETS = st.sampled_from(sorted(LIMITS))
HANDLES = st.integers(0, 3)
LONGEST_LAG = 0.9
"""Seconds from `take` to `used`; a seat's rest is longer."""


def nothing() -> None:
    """A file never calls back."""


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


def drained(guard: FileGuard, now: float, until: float) -> list[float]:
    """Take and use slots whenever one is promised."""
    used = []
    while now < until:
        if (slot := guard.take(now)) is not None:
            guard.used(slot, now)
            used.append(now)
        now = max(now, guard.ready_at(now))
    return used


@pytest.mark.parametrize("limit", [10_000.0, 500.0, 100.0, 25.0, 2.5, 0.5])
def test_almost_all_of_the_limit_is_used_and_evenly(limit: float, tmp_path: Path) -> None:
    """What is not used makes the sync longer; a second's allowance at once meets the concurrency limit."""
    file = SharedFile(tmp_path, "acct_1")
    seconds = max(5.0, 20 / limit)
    used = drained(file.guard("account", limit, nothing), 100.0, 100.0 + seconds)
    assert crowded(used, limit) == []
    assert len(used) >= 0.99 * limit * seconds
    assert min(later - earlier for earlier, later in pairwise(used)) >= 0.99 / limit
    file.close()


def test_two_processes_take_turns(tmp_path: Path) -> None:
    """Two that each spaced their own slots would send in pairs."""
    files = [SharedFile(tmp_path, "acct_1") for _ in range(2)]
    guards = [file.guard("account", 100.0, nothing) for file in files]
    now, used = 100.0, []
    while now < 103.0:
        for guard in guards:
            if (slot := guard.take(now)) is not None:
                guard.used(slot, now)
                used.append(now)
        now = min(guard.ready_at(now) for guard in guards)
    assert len(used) >= 297
    assert min(later - earlier for earlier, later in pairwise(used)) >= 0.0099
    for file in files:
        file.close()


def test_each_process_keeps_its_own_limit_and_neither_starves(tmp_path: Path) -> None:
    """A nightly run with the whole limit and a small one with a share of it use one account."""
    files = [SharedFile(tmp_path, "acct_1") for _ in range(2)]
    guards = {limit: file.guard("account", limit, nothing) for file, limit in zip(files, (25.0, 100.0), strict=True)}
    used: dict[float, list[float]] = {limit: [] for limit in guards}
    now = 100.0
    while now < 110.0:
        for limit, guard in guards.items():
            if (slot := guard.take(now)) is not None:
                guard.used(slot, now)
                used[limit].append(now)
        now = min(guard.ready_at(now) for guard in guards.values())
    assert [crowded(times, limit) for limit, times in used.items()] == [[], []]
    assert crowded(used[25.0] + used[100.0], 100.0) == []
    assert len(used[25.0]) >= 20
    assert len(used[25.0]) + len(used[100.0]) >= 990
    for file in files:
        file.close()


def test_changed_limit_holds_from_then_on(tmp_path: Path) -> None:
    """It is learned while requests run: the slots they have taken must be known to the guard that keeps the new limit."""
    file = SharedFile(tmp_path, "acct_1")
    guard = file.guard("account", 10.0, nothing)
    used = drained(guard, 100.0, 100.5)
    slot = guard.take(100.6)
    assert slot is not None
    assert guard.ready_at(100.6) == pytest.approx(100.7)
    assert file.guard("account", 5.0, nothing) is guard
    guard.used(slot, 100.61)
    assert guard.ready_at(100.61) == pytest.approx(100.0 + seating(5.0).rest)
    later = drained(guard, 100.61, 103.0)
    assert crowded([*used, 100.61, *later], 10.0) == []
    assert crowded(later, 5.0) == []
    assert len(later) >= 8
    file.close()


def test_slot_that_goes_out_late_counts_from_then_on(tmp_path: Path) -> None:
    """A busy event loop sends some time after it took the slot."""
    file = SharedFile(tmp_path, "acct_1")
    guard = file.guard("account", 1.0, nothing)
    slot = guard.take(100.0)
    assert slot is not None
    guard.used(slot, 100.4)
    assert guard.ready_at(100.5) == pytest.approx(100.4 + seating(1.0).rest)
    file.close()


def test_slot_that_was_given_back_is_had_at_once_by_others(tmp_path: Path) -> None:
    """A request that is cancelled in the moment of its grant must not cost the slot, nor its place in the even spacing."""
    one, other = (SharedFile(tmp_path, "acct_1").guard("account", 1.0, nothing) for _ in range(2))
    slot = one.take(100.0)
    assert slot is not None
    assert other.take(100.0) is None
    assert other.ready_at(100.0) > 101.0
    one.give_back(slot)
    assert other.ready_at(100.0) == 100.0
    assert other.take(100.0) is not None
    assert one.ready_at(100.0) > 101.0


def test_giving_back_late_does_not_free_the_seat_of_whoever_has_it_now(tmp_path: Path) -> None:
    """A process that was stopped for a while gives back what the others have long counted as used."""
    one, other = (SharedFile(tmp_path, "acct_1").guard("account", 1.0, nothing) for _ in range(2))
    slot = one.take(100.0)
    assert slot is not None
    assert other.take(102.0) is not None
    one.give_back(slot)
    assert other.ready_at(102.0) == pytest.approx(102.0 + seating(1.0).rest)


@pytest.mark.parametrize(("idle", "at_once"), [(0.005, 0), (0.010, 1), (0.018, 2), (0.5, 3)])
def test_lateness_is_caught_up_but_little_of_it(idle: float, at_once: int, tmp_path: Path) -> None:
    """Timers are always a little late, and what they lose adds up; after a pause a burst would follow."""
    file = SharedFile(tmp_path, "acct_1")
    guard = file.guard("account", 120.0, nothing)
    assert guard.take(100.0) is not None
    assert sum(guard.take(100.0 + idle) is not None for _ in range(10)) == at_once
    file.close()


def test_asking_again_looks_at_the_file_only_after_a_change(tmp_path: Path) -> None:
    """`ready_at` is asked with every request; another process's slot must be noticed all the same."""
    one, other = (SharedFile(tmp_path, "acct_1").guard("account", 1.0, nothing) for _ in range(2))
    assert one.take(100.0) is not None
    assert one.ready_at(100.0) == one.ready_at(100.1) == pytest.approx(100.0 + seating(1.0).rest)
    assert other.take(102.0) is not None
    assert one.ready_at(102.0) == pytest.approx(102.0 + seating(1.0).rest)


def test_stamps_from_before_the_machine_was_started_again_do_not_count(tmp_path: Path) -> None:
    """CLOCK_MONOTONIC starts again from zero: the sync would wait for days."""
    before = SharedFile(tmp_path, "acct_1")
    drained(before.guard("account", 5.0, nothing), 900_000.0, 900_002.0)
    before.close()
    after = SharedFile(tmp_path, "acct_1")
    used = drained(after.guard("account", 5.0, nothing), 20.0, 24.0)
    assert crowded(used, 5.0) == []
    assert len(used) >= 19
    after.close()


def test_stopped_process_that_holds_the_lock_makes_nobody_hang_and_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Waiting for the lock would stop the others' event loops; waiting without a word breaks promise P5."""
    stopped, other = SharedFile(tmp_path, "acct_1"), SharedFile(tmp_path, "acct_1")
    assert stopped.lock(100.0)
    guard = other.guard("account", 5.0, nothing)
    now, tries = 100.0, 0
    with caplog.at_level(logging.WARNING):
        while now < 110.0:
            assert guard.take(now) is None
            assert now < guard.ready_at(now) <= now + LONGEST_PAUSE + 1e-9
            now, tries = guard.ready_at(now), tries + 1
    assert tries <= 210
    assert [record.getMessage() for record in caplog.records] == [
        f"no slots for 5 seconds: process {os.getpid()} holds {other.path} and does not go on; if it is stopped, continue or end it"
    ]
    stopped.unlock()
    assert guard.take(now) is not None
    stopped.close()
    other.close()


def test_accounts_and_buckets_do_not_share(tmp_path: Path) -> None:
    """Two accounts have two allowances, whatever their names look like in a file name."""
    files = [SharedFile(tmp_path, account) for account in ("acct_1", "acct/1", "../acct_1", "x" * 300, "")]
    assert len({file.path for file in files}) == 5
    assert {file.path.parent for file in files} == {tmp_path}
    guards = [file.guard(bucket, 1.0, nothing) for file in files for bucket in ("account", "GET /v1/charges")]
    assert None not in [guard.take(100.0) for guard in guards]
    assert {guard.take(100.5) for guard in guards} == {None}
    for file in files:
        file.close()


def test_more_buckets_than_the_file_has_are_shared_never_exceeded(tmp_path: Path) -> None:
    """Stripe has a few hundred operations; running out must not mean running free."""
    file = SharedFile(tmp_path, "acct_1")
    guards = [file.guard(f"GET /v1/{number}", 1.0, nothing) for number in range(MOST_BUCKETS + 10)]
    taken = [guard.take(100.0) for guard in guards]
    assert None not in taken[:MOST_BUCKETS]
    assert set(taken[MOST_BUCKETS:]) == {None}
    assert {guard.take(102.0) is None for guard in guards[MOST_BUCKETS:]} == {False}
    file.close()


def test_only_its_owner_may_read_it_and_it_is_small(tmp_path: Path) -> None:
    """It names what an account is asked for; and its holes take no disk."""
    file = SharedFile(tmp_path / "new", "acct_1")
    drained(file.guard("account", 100.0, nothing), 100.0, 102.0)
    assert oct(file.path.stat().st_mode)[-3:] == "600"
    assert oct(file.path.parent.stat().st_mode)[-3:] == "700"
    assert file.path.stat().st_size == SIZE
    assert file.path.stat().st_blocks * 512 < 100_000
    file.close()


@pytest.mark.parametrize(
    "content", [b"", b"hello", bytes(SIZE), b"stripe-assets seats, format 1\n", os.urandom(SIZE), os.urandom(2 * SIZE)]
)
def test_damaged_or_foreign_file_is_replaced_and_said(content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A full disk, a crash of the machine, another program: none of them may end all later syncs."""
    file = SharedFile(tmp_path, "acct_1")
    file.close()
    file.path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        file = SharedFile(tmp_path, "acct_1")
    assert len(caplog.records) == any(content[:30])
    used = drained(file.guard("account", 5.0, nothing), 100.0, 103.0)
    assert crowded(used, 5.0) == []
    assert len(used) >= 14
    file.close()


@given(noise=st.binary(min_size=8, max_size=200), at=st.integers(0, 20), every=st.integers(1, 9), now=st.floats(0, 1e6))
@settings(max_examples=150, deadline=None)
def test_noise_in_the_file_ends_nothing(noise: bytes, at: int, every: int, now: float) -> None:
    """No number that may stand in the file, not a number or endless ones included, is more than a slot too early or too late."""
    with tempfile.TemporaryDirectory() as folder:
        file = SharedFile(Path(folder), "acct_1")
        guard = file.guard("account", 5.0, nothing)
        assert guard.take(now) is not None
        region = file.region("account") * 8
        with file.path.open("r+b") as raw:
            raw.seek(region + at * every)
            raw.write(noise * every)
        used = drained(guard, now + 2.0, now + 8.0)
        assert crowded(used[10:], 5.0) == []
        assert len(used) >= 10
        file.close()


@pytest.mark.parametrize("kind", ["folder", "link", "pipe"])
def test_what_is_no_file_is_refused_with_advice(kind: str, tmp_path: Path) -> None:
    """Through a link it would write somewhere else; a pipe would hang it."""
    file = SharedFile(tmp_path, "acct_1")
    file.close()
    file.path.unlink()
    if kind == "folder":
        file.path.mkdir()
    elif kind == "link":
        file.path.symlink_to(tmp_path / "elsewhere")
    else:
        os.mkfifo(file.path)
    with pytest.raises(ConfigurationError, match=r"The file of shared slots .* (choose another folder|remove it)"):
        SharedFile(tmp_path, "acct_1")
    assert not (tmp_path / "elsewhere").exists()


def test_folder_that_cannot_be_made_is_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="choose another folder"):
        SharedFile(tmp_path / "file" / "folder", "acct_1")


def test_default_folder_is_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not the session's runtime folder: a cron job has none, and would count for itself."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "stripe-assets" / "limits"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".cache" / "stripe-assets" / "limits"


def test_its_repr_shows_its_state(tmp_path: Path) -> None:
    file = SharedFile(tmp_path, "acct_1")
    guard = file.guard("account", 2.5, nothing)
    guard.take(100.0)
    assert repr(guard) == "<FileGuard account 2.5 per second, 3 seats, 1 taken>"
    assert repr(file) == f"<SharedFile {file.path}>"
    assert seating(2.5).seats < MOST_SEATS
    file.close()
