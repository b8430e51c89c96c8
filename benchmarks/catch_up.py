"""Nightly catch-ups after 1% of an account's objects have changed: requests against the smallest possible number, seconds, memory.

One account, one full sync, then one night after another: a day of the account's own business, 1% of the objects edited in the course of
it, some made and some deleted, and a sync under Stripe's limits. Nights differ in which objects are edited (new ones rather than
old ones, as it is in life, or any) and in how much events say: all, nothing that can be used because their payloads have the shape of
another API version, or nothing at all because what changes is open. All types but the ones asked for parent by parent, as in `full_sync`.

`python -m benchmarks catch-up --customers 110000` is an account of 1,160,000 objects, of which a million are not events: 5 GB of memory for
the simulator, half an hour on two cores that others use as well (2026-11).
"""

import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import equal
from benchmarks.fewest import EVENTS, Before, Fewest, before, collection, fewest
from benchmarks.full_sync import ACCOUNT_LIMIT, ENDPOINT_LIMIT, LATENCY, listed_types
from benchmarks.timed import Timed, sync
from stripe_assets.catalog.types import Fresh, ObjectType, load
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.limits import Request
from stripe_assets.simulator.server import serving
from stripe_assets.simulator.whims import told

CHANGED = 0.01
"""The share of the objects that are edited in a night."""
STEPS = 24
"""Times of day at which something is edited: between two, the account goes on with its own business."""
OLD_VERSION = "2020-08-27"
OPEN_TYPES = ("payment_intents", "setup_intents", "checkout_sessions")
"""Types with objects that may change for months without an event."""
PARTS = ("at the beginning", "events", "lists", "children", "read again")
LONGEST = 6
"""Types that are named as having been asked for more often than need be."""

Choice = Callable[[random.Random, int], int]


def any_of(chance: random.Random, size: int) -> int:
    """Choose a place in a list, all alike."""
    return chance.randrange(size)


def rather_new(chance: random.Random, size: int) -> int:
    """Choose a place in a list (the newest stand last): half of the choices are among the newest eighth."""
    return size - 1 - int(size * chance.random() ** 3)


@dataclass(frozen=True, slots=True)
class Night:
    """What happens in a night: how the edited objects are chosen, and in which version events show them (none: the pinned one)."""

    name: str
    choice: Choice
    version: str | None = None
    open_only: bool = False


NIGHTS = (
    Night("payloads at the pinned version, new objects rather than old", rather_new),
    Night("payloads at the pinned version, any objects", any_of),
    Night("payloads of another version, new objects rather than old", rather_new, OLD_VERSION),
    Night("payloads of another version, any objects", any_of, OLD_VERSION),
    Night("open objects, any of them, without an event", any_of, open_only=True),
)


def run(*, customers: int, seed: int) -> None:
    """Make the account, mirror it, and measure every night."""
    began = time.perf_counter()
    account, chance = Account(seed=seed, customers=customers), random.Random(seed)
    print(f"{customers:,} customers: made in {time.perf_counter() - began:.0f} s, load {_load()}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "mirror.duckdb"
        with serving(account, latency=LATENCY) as served:
            first = sync(served.url, file, listed_types(), "--no-limit")
        print(
            f"  full sync, no limit: {first.rows:,} rows by {first.requests:,} requests in {first.seconds:.0f} s, {_size(file)}", flush=True
        )
        for night in NIGHTS:
            _print(night, account, _measure(account, file, night, chance, objects=first.rows))


@dataclass(frozen=True, slots=True)
class Measured:
    """One night: how many objects were edited, what the mirror was equal to before, and what the sync took and left."""

    kinds: tuple[ObjectType, ...]
    edited: int
    was: Before
    least: Fewest
    timed: Timed
    asked: Sequence[Request]
    size: str
    differences: Sequence[str]


def _measure(account: Account, file: Path, night: Night, chance: random.Random, *, objects: int) -> Measured:
    catalog, types = load(), listed_types()
    kinds = tuple(catalog[name] for name in types)
    wanted = round(objects * CHANGED)
    if night.open_only:
        _open_some(account, file, chance, wanted)
    was = before(account, kinds)
    edited = _happen(account, kinds, night, chance, wanted)
    least = fewest(account, catalog, kinds, was)
    with serving(account, latency=LATENCY, account_limit=ACCOUNT_LIMIT, endpoint_limit=ENDPOINT_LIMIT) as served:
        timed = sync(served.url, file, types)
        asked = tuple(served.app.requests)
    return Measured(kinds, edited, was, least, timed, asked, _size(file), equal.differences(file, account, catalog, kinds))


def _happen(account: Account, kinds: Sequence[ObjectType], night: Night, chance: random.Random, wanted: int) -> int:
    """Let a day pass in which objects are edited, and one in a hundred as many made and deleted; give how many were edited."""
    account.tell(version=night.version)
    chosen = _chosen(account, _open_kinds(kinds) if night.open_only else _told_kinds(kinds), night, chance, wanted)
    chance.shuffle(chosen)
    for step in range(STEPS):
        account.advance(days=1 / STEPS)
        for turn, (name, object_id) in enumerate(chosen[step::STEPS]):
            if account.store.get(name, object_id) is not None:
                account.edit(name, object_id, metadata={"edited": f"{account.now} {turn}"})
        for _ in range(max(1, wanted // 100 // STEPS)):
            account.create("customer")
            people = account.store.shelf("customer").order
            account.delete("customer", people[any_of(chance, len(people))].id)
    return len(chosen)


def _told_kinds(kinds: Iterable[ObjectType]) -> list[ObjectType]:
    """Give the types of which an event tells an edit."""
    return [kind for kind in kinds if kind.parent is None and kind.fresh is Fresh.EVENTS and told(collection(kind), "updated")]


def _open_kinds(kinds: Iterable[ObjectType]) -> list[ObjectType]:
    return [kind for kind in kinds if kind.name in OPEN_TYPES]


def _chosen(account: Account, kinds: Sequence[ObjectType], night: Night, chance: random.Random, wanted: int) -> list[tuple[str, str]]:
    """Choose so many different objects, of each type in proportion to its size."""
    names = [collection(kind) for kind in kinds]
    known = before(account, kinds).still_open if night.open_only else {}
    present = {
        name: [each.id for each in account.store.shelf(name).order if not known or each.id in known[kind.name]]
        for name, kind in zip(names, kinds, strict=True)
    }
    total = sum(map(len, present.values()))
    found: list[tuple[str, str]] = []
    for name, ids in present.items():
        some: set[int] = set()
        while len(some) < min(len(ids), round(wanted * len(ids) / total)):
            some.add(night.choice(chance, len(ids)))
        found += [(name, ids[place]) for place in sorted(some)]
    return found


def _open_some(account: Account, file: Path, chance: random.Random, wanted: int) -> None:
    """Let so many objects be open again, wherever they stand in their lists, and let the mirror know."""
    catalog = load()
    kinds = [catalog[name] for name in OPEN_TYPES]
    inside = [child.name for kind in kinds for child in catalog.children(kind.name) if child.name in listed_types()]
    night = Night("", any_of)
    states = {collection(kind): {field: values[0] for field, values in kind.open.items()} for kind in kinds}
    for name, object_id in _chosen(account, kinds, night, chance, wanted):
        account.edit(name, object_id, **states[name])
    with serving(account) as served:
        sync(served.url, file, [*OPEN_TYPES, *inside], "--no-limit", "--full-refresh")


def _print(night: Night, account: Account, measured: Measured) -> None:
    timed, least, kinds = measured.timed, measured.least, measured.kinds
    events = sum(1 for record in account.store.shelf(EVENTS).order if record.created > measured.was.now)
    print(f"\n{night.name}")
    print(
        f"  {measured.edited:,} objects edited; {events:,} events tell of {least.changed:,} objects, "
        f"{least.again:,} of which no payload gives; {least.still_open:,} are open"
    )
    print(f"  {'requests':>18} {'taken':>7} {'least':>7}  made from .. to (s)")
    fewest_by_part = {"events": least.events, "lists": least.lists, "children": least.children, "read again": least.reading_again}
    for name in PARTS:
        times = [request.at - measured.asked[0].at for request in measured.asked if part(request, kinds) == name]
        when = f"{times[0]:.1f} .. {times[-1]:.1f}" if times else ""
        print(f"  {name:>18} {len(times):>7,} {fewest_by_part.get(name, 0):>7,}  {when}")
    print(f"  {'all':>18} {timed.requests:>7,} {least.total:>7,}  taken / least = {timed.requests / least.total:.3f}")
    if more := avoidable(measured.asked, kinds, least):
        print(f"    more than need be: {', '.join(line for _, line in more[:LONGEST])}")
    pace = timed.rows / timed.seconds
    print(f"  {timed.seconds:.1f} s, {timed.throttled} throttled, {timed.rows:,} rows written ({pace:,.0f}/s), peak memory ", end="")
    print(f"{timed.peak_megabytes:.0f} MB, {measured.size}, load {_load()}{'' if timed.complete else ', NOT COMPLETE'}")
    print(f"  file open {timed.database_seconds:.1f} s in {timed.transactions} transactions: {_spent(timed.by_verb)}")
    print(f"    longest: {_spent(timed.by_statement)}")
    equal_ = "the mirror equals the account" if not measured.differences else f"DIFFERENCES: {_counted(measured.differences)}"
    print(f"  {equal_}", flush=True)


def part(request: Request, kinds: Sequence[ObjectType]) -> str:
    """Say what a request was for."""
    if request.path == "/v1/events":
        return "events" if request.params.get("limit") != "1" else "at the beginning"
    if any(request.path == kind.path for kind in kinds if kind.parent is None):
        return "read again" if "created[lte]" in request.params else "lists"
    return "read again" if any(request.endpoint == kind.retrieve_endpoint for kind in kinds if kind.retrieve_path) else "children"


def avoidable(asked: Sequence[Request], kinds: Sequence[ObjectType], least: Fewest) -> list[tuple[int, str]]:
    """Say of which types objects were read again, or children asked for, by more requests than need be: most first."""
    again: Counter[str] = Counter(request.endpoint for request in asked if part(request, kinds) == "read again")
    found = [(_count(again, kind) - least.by_type[kind.name], kind, least.by_type[kind.name]) for kind in kinds]
    lines = [(more, f"{kind.name} {fewest_:,} + {more:,}") for more, kind, fewest_ in found if more > 0]
    children: Counter[str] = Counter(request.endpoint for request in asked if part(request, kinds) == "children")
    lines += [(count, f"{endpoint} {count:,}") for endpoint, count in children.items() if count > least.children]
    return sorted(lines, reverse=True)


def _count(asked: Counter[str], kind: ObjectType) -> int:
    return asked[kind.endpoint] + asked[kind.retrieve_endpoint]


def _counted(differences: Iterable[str]) -> str:
    """Count differences by type and column."""
    found = Counter(" ".join((line.split()[0], *line.split(": ")[1:])) for line in differences)
    return ", ".join(f"{count:,} {what}" for what, count in found.most_common(8))


def _spent(spent: dict[str, float]) -> str:
    return ", ".join(f"{what} {seconds:.1f}" for what, seconds in spent.items() if seconds >= 0.05)


def _size(file: Path) -> str:
    return f"file {file.stat().st_size / 1e6:,.0f} MB"


def _load() -> str:
    return " ".join(f"{each:.1f}" for each in os.getloadavg())
