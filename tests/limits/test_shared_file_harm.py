"""What may happen to the shared file itself: a restart, a stopped process, damage, noise, somebody else's folder."""

import logging
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from limits.holding import drained, nothing
from limits.sending import crowded

from stripe_assets.errors import ConfigurationError
from stripe_assets.limits.seats import MOST_SEATS, seating
from stripe_assets.limits.shared_file import LONGEST_PAUSE, MOST_BUCKETS, SIZE, SharedFile, default_folder


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
