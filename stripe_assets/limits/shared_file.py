"""The slots of one account for all processes of one machine: a small file that each of them maps into its memory.

The file says when each seat of each bucket was last used (`seats` tells why that is enough). A process changes it only while it holds
the kernel's lock on it, which ends with the process: whoever is killed, at whatever instruction, leaves a file that works, because every
single number may be old or new without breaking the limit. Whoever is stopped while it holds the lock makes the others wait, but not hang.

    0      what the file is, and who holds the lock       64 bytes
    4096   the buckets: 512 names, as 8-byte digests
    8192   one region a bucket: how it is spaced (8 numbers), when each seat was last used (1,024 numbers)

Times are those of CLOCK_MONOTONIC, which is one clock for the whole machine. Several machines: `leases`.
"""

import logging
import os
import re
import stat
import time
from array import array
from collections.abc import Callable, Sequence
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from hashlib import blake2b
from itertools import count
from mmap import mmap
from pathlib import Path
from typing import NamedTuple

from stripe_assets.errors import ConfigurationError
from stripe_assets.limits.seats import MOST_SEATS, PAYBACK, seating

MAGIC = b"stripe-assets seats, format 1\n"
HOLDER = 4
"""Where the process that holds the lock writes its number, counted in 8 bytes as all places below."""
BUCKETS, MOST_BUCKETS = 512, 512
REGIONS = 1024
CHANGES, FIRST, IDEAL, FASTEST, FASTEST_AT, SEATS = 0, 1, 2, 3, 4, 8
"""In a region: how often it was changed and which seat to try first (whole numbers, the rest are floating); when the last slot
should have been, were all evenly spaced; the highest limit that lately took slots, and when; and from SEATS on the seats."""
REGION = SEATS + MOST_SEATS
SIZE = 8 * (REGIONS + MOST_BUCKETS * REGION)
UNUSED = array("d", [0.0, 0.0, float("-inf"), 0.0, float("-inf"), 0.0, 0.0, 0.0] + [float("-inf")] * MOST_SEATS).tobytes()

AHEAD = 1.0
"""Seconds that a stamp may lie after `now`: more, and it is from before the machine was started again, so it counts no longer."""
TRIES = 3
PAUSE, LONGEST_PAUSE = 0.001, 0.05
"""Seconds until the lock is tried again: it is held for about 5 microseconds, unless its holder was interrupted."""
SUSPICIOUS = 5.0
"""Seconds after which a lock that never became free is worth a warning."""
OPENING = 2.0
"""Seconds to wait for whoever is making the file."""

log = logging.getLogger(__name__)


def default_folder() -> Path:
    """Give where these files are kept: the user's cache folder, the same for cron jobs, services and shells."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stripe-assets" / "limits"
    except RuntimeError as error:
        raise ConfigurationError("This user has no home folder for the file of shared slots: set XDG_CACHE_HOME") from error


class SharedFile:
    """The buckets of one account in its file. One object an event loop: the kernel's lock does not part those who share one."""

    def __init__(self, folder: Path, account: str) -> None:
        """Open the account's file, or make it. Raises `ConfigurationError` where that is not possible."""
        tag = blake2b(account.encode(), digest_size=4).hexdigest()
        self.path = folder / f"{re.sub(r'[^A-Za-z0-9_-]', '_', account)[:64]}-{tag}.seats"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigurationError(f"The file of shared slots cannot be opened ({error}): choose another folder") from error
        self._guards: dict[str, FileGuard] = {}
        self._busy_since: float | None = None
        self._warned = False
        try:
            self._prepare()
            self._map = mmap(self._descriptor, SIZE)
        except (OSError, ValueError) as error:
            os.close(self._descriptor)
            raise ConfigurationError(f"The file of shared slots {self.path} cannot be used ({error}): remove it") from error
        self._bytes = memoryview(self._map)
        self.numbers = self._bytes.cast("d")
        self.words = self._bytes.cast("Q")

    def __repr__(self) -> str:
        return f"<SharedFile {self.path}>"

    def guard(self, name: str, limit: float, on_change: Callable[[], None]) -> "FileGuard":  # noqa: ARG002  # a file answers at once
        """Give the guard of one bucket, `limit` in slots per second; the same one, if the limit has changed."""
        guard = self._guards.setdefault(name, FileGuard(self, name))
        guard.resize(limit)
        return guard

    def close(self) -> None:
        """Unmap and close the file; its guards are of no use any more."""
        if self._map.closed:
            return
        self.words.release()
        self.numbers.release()
        self._bytes.release()
        self._map.close()
        os.close(self._descriptor)

    def lock(self, now: float) -> bool:
        """Take the lock if it is free; never waits for it."""
        for _ in range(TRIES):
            try:
                flock(self._descriptor, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                continue
            self.words[HOLDER] = os.getpid()
            self._busy_since = None
            self._warned = False
            return True
        self._complain(now)
        return False

    def unlock(self) -> None:
        """Let the others have the lock."""
        flock(self._descriptor, LOCK_UN)

    def region(self, name: str) -> int:
        """Find a bucket's region, or give it one, while the lock is held: `numbers` from here on are its.

        The region is blank before its name is written. When all are given away, two names share one: stricter, never over.
        """
        digest = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little") or 1
        home = digest % MOST_BUCKETS
        for index in (*range(home, MOST_BUCKETS), *range(home)):
            here: int = REGIONS + index * REGION
            if self.words[BUCKETS + index] == digest:
                return here
            if not self.words[BUCKETS + index]:
                try:
                    os.pwrite(self._descriptor, UNUSED, 8 * here)  # not through the map: a full disk is an error here, and a crash there
                except OSError as error:
                    raise ConfigurationError(f"The file of shared slots {self.path} cannot grow ({error}): free some space") from error
                self.words[BUCKETS + index] = digest
                return here
        return REGIONS + home * REGION

    def _prepare(self) -> None:
        """Make the file what it should be, unless it is."""
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            raise ValueError("it is no file")
        give_up_at = time.monotonic() + OPENING
        while True:
            try:
                flock(self._descriptor, LOCK_EX | LOCK_NB)
                break
            except BlockingIOError:
                if self._is_ours():
                    return
                if time.monotonic() > give_up_at:
                    raise
                time.sleep(PAUSE)
        try:
            if not self._is_ours():
                self._make()
        finally:
            self.unlock()

    def _is_ours(self) -> bool:
        return os.pread(self._descriptor, len(MAGIC), 0) == MAGIC and os.fstat(self._descriptor).st_size == SIZE

    def _make(self) -> None:
        """Write an empty file, what it is last of all: one that was begun and not ended is begun again."""
        if any(os.pread(self._descriptor, len(MAGIC), 0)):
            log.warning("%s is damaged or no file of shared slots: it is replaced", self.path)
        os.pwrite(self._descriptor, bytes(8 * REGIONS), 0)
        os.ftruncate(self._descriptor, SIZE)
        os.pwrite(self._descriptor, MAGIC, 0)

    def _complain(self, now: float) -> None:
        self._busy_since = now if self._busy_since is None else self._busy_since
        if now - self._busy_since > SUSPICIOUS and not self._warned:
            self._warned = True
            text = "no slots for %.0f seconds: process %d holds %s and does not go on; if it is stopped, continue or end it"
            log.warning(text, now - self._busy_since, self.words[HOLDER], self.path)


class _Taken(NamedTuple):
    """A slot that was taken: its seat, when that was, and what stood there and for the spacing before and since."""

    seat: int
    at: float
    before: float
    ideal: float
    ideal_before: float


class FileGuard:
    """One bucket in the file, as this process's own limit sees it: where others have a higher one, they use seats beyond ours."""

    def __init__(self, file: SharedFile, name: str) -> None:
        """Look for the bucket's region when the first slot is taken."""
        self._file = file
        self._numbers, self._words = file.numbers, file.words
        self._name = name
        self._limit = self._rest = 0.0
        self._seats = 0
        self._region: int | None = None
        self._known_changes = -1
        self._ready_at = float("-inf")
        self._pause = PAUSE
        self._paused_until = float("-inf")
        self._slot_numbers = count()
        self._taken: dict[int, _Taken] = {}

    def __repr__(self) -> str:
        return f"<FileGuard {self._name} {self._limit:g} per second, {self._seats} seats, {len(self._taken)} taken>"

    def resize(self, limit: float) -> None:
        """Keep this limit from now on."""
        self._limit = limit
        self._seats, self._rest = seating(limit)
        self._known_changes = -1

    def ready_at(self, now: float) -> float:
        """Say when the next slot may be had, without the lock: `take` looks again."""
        if self._region is None:
            return max(now, self._paused_until)
        if self._words[self._region + CHANGES] != self._known_changes:
            self._look(self._region, now)
        return max(now, self._ready_at, self._paused_until)

    def take(self, now: float) -> int | None:
        """Take one slot and give its number; nothing if others were faster, or hold the lock."""
        if now < self._paused_until:
            return None
        if not self._file.lock(now):
            self._paused_until = now + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            return None
        self._pause = PAUSE
        try:
            if self._region is None:
                self._region = self._file.region(self._name)
            self._look(self._region, now)
            return self._sit(self._region, now) if self._ready_at <= now else None
        finally:
            self._file.unlock()

    def used(self, slot: int, now: float) -> None:
        """Count the slot from now on. Needs no lock: nobody else touches the seat before it has rested since `take`."""
        seat = self._taken.pop(slot).seat
        self._numbers[seat] = max(self._numbers[seat], now)

    def give_back(self, slot: int) -> None:
        """Leave the seat as it was found; while somebody else holds the lock it stays used, which is never too many."""
        taken = self._taken.pop(slot)
        if self._region is None or not self._file.lock(taken.at):
            return
        try:
            if self._numbers[taken.seat] == taken.at:
                self._numbers[taken.seat] = taken.before
                self._words[self._region + FIRST] = taken.seat - self._region - SEATS
                if self._numbers[self._region + IDEAL] == taken.ideal:
                    self._numbers[self._region + IDEAL] = taken.ideal_before
                self._changed(self._region)
        finally:
            self._file.unlock()

    def close(self) -> None:
        """Hold nothing that another process could not have: what was taken is counted."""
        self._taken.clear()

    def _sit(self, region: int, now: float) -> int:
        """Use the seat that has rested. Its stamp is written before anything else: from then on the limit is safe."""
        numbers = self._numbers
        index = self._rested(region, now)
        seat = region + SEATS + index
        before, numbers[seat] = numbers[seat], now
        if self._limit >= numbers[region + FASTEST] or abs(now - numbers[region + FASTEST_AT]) > self._rest:
            numbers[region + FASTEST] = self._limit
            numbers[region + FASTEST_AT] = now
        ideal_before = self._ideal(region, now)
        ideal = max(ideal_before + self._step(region, now), now - PAYBACK) if ideal_before > float("-inf") else now
        numbers[region + IDEAL] = ideal
        self._words[region + FIRST] = (index + 1) % self._seats
        self._changed(region)
        slot = next(self._slot_numbers)
        self._taken[slot] = _Taken(seat, now, before, ideal, ideal_before)
        return slot

    def _changed(self, region: int) -> None:
        self._words[region + CHANGES] = (self._words[region + CHANGES] + 1) % 2**63

    def _look(self, region: int, now: float) -> None:
        """Work out when the next slot may be had: a seat must have rested, and the slots of all processes are evenly spaced."""
        self._known_changes = self._words[region + CHANGES]
        rested_at = self._stamp(region, self._rested(region, now), now) + self._rest
        self._ready_at = max(rested_at, self._ideal(region, now) + self._step(region, now))

    def _rested(self, region: int, now: float) -> int:
        """Choose a seat: the one after the last if it has rested, otherwise the one that has rested longest."""
        first = int(self._words[region + FIRST]) % self._seats
        if self._stamp(region, first, now) + self._rest <= now:
            return first
        stamps: Sequence[float] = self._numbers[region + SEATS : region + SEATS + self._seats].tolist()
        return stamps.index(min(stamps))

    def _stamp(self, region: int, index: int, now: float) -> float:
        stamp = float(self._numbers[region + SEATS + index])
        return stamp if stamp <= now + AHEAD else float("-inf")

    def _ideal(self, region: int, now: float) -> float:
        ideal = float(self._numbers[region + IDEAL])
        return ideal if ideal <= now + AHEAD else float("-inf")

    def _step(self, region: int, now: float) -> float:
        """Give the seconds from one slot to the next: those of the highest limit that takes part, or a lower one would slow it down."""
        is_recent = abs(now - self._numbers[region + FASTEST_AT]) <= self._rest
        fastest = float(self._numbers[region + FASTEST])
        return 1 / max(self._limit, fastest) if is_recent else 1 / self._limit
