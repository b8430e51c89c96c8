"""How slots come out of the shared file: as many as the limit allows, evenly, to all processes in turn."""

from itertools import pairwise
from pathlib import Path

import pytest
from limits.holding import drained, nothing
from limits.sending import crowded

from stripe_assets.limits.seats import seating
from stripe_assets.limits.shared_file import SharedFile


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
