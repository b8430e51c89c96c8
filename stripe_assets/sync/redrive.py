"""Tries again what failed for good, and nothing else: dead letters, and the types that could not be read because of them.

A run that failed has left in the books how far it came. From there it goes on as the next sync would: open slices of lists,
objects that are noted, what is newer than the newest known. What has changed since is left to the next sync.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from stripe_assets.api.answers import Page
from stripe_assets.catalog.types import Catalog, Fresh, ObjectType
from stripe_assets.errors import Missing, Refused
from stripe_assets.sync.backfill import Backfill
from stripe_assets.sync.changes import CatchUp
from stripe_assets.sync.course import EVENTS_KEPT, Course
from stripe_assets.sync.session import Session, end_with_owners, owners
from stripe_assets.warehouse.ledger import BACKFILL, COMPLETE, Checkpoint, Ledger, StoredSlice
from stripe_assets.warehouse.letters import Asked, Letters

T = TypeVar("T")


def reach(catalog: Catalog, failed: Iterable[str], known: Collection[str]) -> frozenset[str]:
    """Name the types that may be asked for when these are tried again: besides them those of `known` that belong to them, and theirs.

    The others that they are asked by are in it as well, as far as they are known.
    """
    found = set(failed)
    for kind in catalog:  # parents stand before their children
        if kind.name in known and found & set(_needs(kind)):
            found.add(kind.name)
    return frozenset(found | {name for found_name in found for name in _needs(catalog[found_name]) if name in known})


def to_resume(kinds: Sequence[ObjectType], failed: Collection[str], unfinished: Collection[str]) -> set[str]:
    """Name the types whose first reading goes on: the failed ones among the `unfinished`, what waits for them, and what they wait for."""
    resumed = set(failed) & set(unfinished)
    while more := {name for kind in kinds for name in _linked(kind, resumed) if name in unfinished} - resumed:
        resumed |= more
    return resumed


def _linked(kind: ObjectType, resumed: Collection[str]) -> set[str]:
    """Give what has to be read together with what is `resumed`, as far as this type connects it."""
    needs = set(_needs(kind))
    above = needs if kind.name in resumed else set()
    hiding = {kind.hidden_under.type} if kind.hidden_under is not None and kind.name in resumed else set()
    return above | hiding | ({kind.name} if needs & set(resumed) else set())


def _needs(kind: ObjectType) -> tuple[str, ...]:
    """Name the types by which a type is asked for, or would be if its list were refused."""
    return (*owners(kind), *(owners(kind.fallback) if kind.fallback is not None else ()))


class Redrive:
    """The dead letters of one account, in one run."""

    def __init__(
        self, session: Session, kinds: Sequence[ObjectType], only: Collection[str], known: dict[str, Page | Refused | Missing]
    ) -> None:
        """Prepare; letters of the types in `only` are tried. `known` has answers that the run has already, by their path."""
        self._session = session
        self._kinds = kinds
        self._only = only
        self._known = known

    async def read(self) -> None:
        """Ask again; afterwards the progress has the types that were tried, and the letters of what was answered are gone.

        Raises `Unauthorized`.
        """
        checkpoints = await self._session.writer.books(lambda ledger: ledger.checkpoints())
        lists = await self._letters(lambda letters: letters.about_lists())
        lettered = await self._letters(lambda letters: letters.types())
        failed = {kind.name for kind in self._kinds if kind.name in lettered & set(self._only) and kind.name in checkpoints}
        unfinished = {name for name, checkpoint in checkpoints.items() if checkpoint.state == BACKFILL}
        resumed = to_resume(self._kinds, failed, unfinished)
        tried = failed | resumed
        if tried:
            self._give_up_on_old(resumed, checkpoints)
            await self._go_on([kind for kind in self._kinds if kind.name in resumed and not self._session.of(kind).over], checkpoints)
            await self._catch_up(failed - resumed, {asked[0] for asked in lists}, tried, checkpoints)
        await self._settle(tried, lists)
        for kind in self._kinds:
            if kind.name not in tried:
                del self._session.progress.types[kind.name]

    def _give_up_on_old(self, resumed: Iterable[str], checkpoints: Mapping[str, Checkpoint]) -> None:
        """End what was begun so long ago that events no longer tell what changed since."""
        now = datetime.fromtimestamp(self._session.clock.now(), UTC)
        for name in resumed:
            if (age := now - checkpoints[name].started_at) > EVENTS_KEPT:
                reason = f"its reading was begun {age.days} days ago, and has to be begun anew: `stripe-assets sync {name}`"
                self._session.progress.types[name].end("failed", reason=reason)

    async def _go_on(self, kinds: Sequence[ObjectType], checkpoints: Mapping[str, Checkpoint]) -> None:
        """Read on where a first reading has stopped, and then, as every run does, what changed meanwhile."""
        names = frozenset(kind.name for kind in kinds)
        slices = {kind.name: await self._session.writer.books(partial(_slices, kind)) for kind in kinds}
        course = Course({name: checkpoints[name].since for name in names}, {name: stored for name, stored in slices.items() if stored})
        self._session.writer.begun = frozenset(kind.name for kind in kinds if kind.parent is not None and not kind.parent.embedded)
        await Backfill(self._session, self._kinds, course, self._known).read()
        self._session.writer.hurry()
        standing = [kind for kind in kinds if not end_with_owners(self._session, kind)]
        if standing:
            await CatchUp(self._session, standing, just_read=names).read()
        await self._session.writer.flushed()

    async def _catch_up(
        self, names: Iterable[str], listed: Collection[str], tried: Collection[str], checkpoints: Mapping[str, Checkpoint]
    ) -> None:
        """Read what is new of the lists that failed in catching up, and ask for every object that is noted."""
        catch_up = CatchUp(self._session, [kind for kind in self._kinds if self._follows(kind, tried)], just_read=frozenset())
        for kind in self._kinds:
            if kind.name in names and kind.name in listed and kind.fresh is Fresh.CREATED and checkpoints[kind.name].state == COMPLETE:
                await catch_up.read_created(kind, checkpoints[kind.name])
        await catch_up.ask_noted()
        await self._session.writer.flushed()

    def _follows(self, kind: ObjectType, tried: Collection[str]) -> bool:
        """Say whether a type is tried, or belongs to one that is: reading that may bring notes of what to ask for."""
        return kind.name in tried or any(self._follows(self._session.catalog[name], tried) for name in _needs(kind))

    async def _settle(self, tried: Collection[str], lists: Mapping[Asked, int]) -> None:
        read = [name for name in tried if not self._session.progress.types[name].over]
        await self._letters(lambda letters: letters.strike_answered(tried))
        await self._letters(lambda letters: letters.strike_lists(lists, read=read))

    async def _letters(self, work: Callable[[Letters], T]) -> T:
        return await self._session.writer.call(lambda connection: work(Letters(connection, self._session.account_id)))


def _slices(kind: ObjectType, ledger: Ledger) -> list[StoredSlice]:
    return ledger.slices(kind)
