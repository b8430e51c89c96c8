"""Decides for each type whether it is read whole, gone on with, or only caught up.

Decisions over what the books say; the reading itself belongs in `engine`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from stripe_assets.catalog.types import Catalog, Fresh, ObjectType
from stripe_assets.warehouse.ledger import BACKFILL, Checkpoint, Ledger, StoredSlice

EVENTS_KEPT = timedelta(days=29)
"""Stripe keeps events for 30 days; a day less, so that none ages out while they are read."""


@dataclass(frozen=True, slots=True)
class Course:
    """`backfill`: the types whose lists are read in this run, with the time from which on (seconds; none: whole).

    `slices`: where an earlier run has got to with them; what that was told to leave out it goes on to leave out. `missed`: the
    types that are read again because the events since they were last up to date are not kept any more, with the days since.
    """

    backfill: Mapping[str, int | None]
    slices: Mapping[str, Sequence[StoredSlice]] = field(default_factory=dict)
    missed: Mapping[str, int] = field(default_factory=dict)


def choose(
    ledger: Ledger,
    kinds: Sequence[ObjectType],
    catalog: Catalog,
    *,
    now: float,
    events_from: int | None,
    full_refresh: bool,
    since: int | None,
) -> Course:
    """Decide the course of a run and note what is begun by it."""
    present = datetime.fromtimestamp(now, UTC)
    checkpoints = ledger.checkpoints()
    ledger.abandon(_left_behind(kinds, checkpoints, catalog))
    begun = to_begin(kinds, checkpoints, now=present, full_refresh=full_refresh, since=since)
    ledger.forget_dead_letters(kinds, begun=begun)
    ledger.begin_backfill([kind for kind in kinds if kind.name in begun], now=present, events_from=events_from, since=since)
    resumed = {name for name, checkpoint in checkpoints.items() if checkpoint.state == BACKFILL} & {kind.name for kind in kinds} - begun
    slices = {kind.name: stored for kind in kinds if kind.name in resumed and (stored := ledger.slices(kind))}
    begins = dict.fromkeys(begun, since) | {name: checkpoints[name].since for name in resumed}
    return Course(begins, slices, _missed(kinds, checkpoints, begun, now=present))


def _left_behind(kinds: Sequence[ObjectType], checkpoints: Mapping[str, Checkpoint], catalog: Catalog) -> list[ObjectType]:
    """Name what was to be read inside parents that this run reads without it: nobody could say later which of them had shown theirs."""
    inside = [child for kind in kinds for child in catalog.children(kind.name) if child.parent is not None and child.parent.embedded]
    known = [child for child in inside if child not in kinds and child.name in checkpoints]
    return [child for child in known if checkpoints[child.name].state == BACKFILL]


def _missed(kinds: Sequence[ObjectType], checkpoints: Mapping[str, Checkpoint], begun: Collection[str], *, now: datetime) -> dict[str, int]:
    """Find what is begun anew because of a gap. What never changes is not: its list is read on from the newest known."""
    told = _told(kinds) | {kind.name for kind in kinds if _is_told_later(kind)}
    known = {name: checkpoints[name] for name in begun if name in checkpoints and name in told}
    return {name: (now - one.updated_at).days for name, one in known.items() if now - one.updated_at > EVENTS_KEPT}


def to_begin(
    kinds: Sequence[ObjectType], checkpoints: Mapping[str, Checkpoint], *, now: datetime, full_refresh: bool, since: int | None
) -> set[str]:
    """Name the types that are to be read from the start.

    A parent and the children that it contains are begun together: the children are read in the parent's list. So are those
    that hide a part of a list. What nothing tells of is read again in any case; its children only as they follow from that.
    """
    told = _told(kinds)
    begun = {kind.name for kind in kinds if full_refresh or _stale(kind, checkpoints.get(kind.name), now, since, told)}
    for kind in kinds:
        if kind.parent is not None and kind.parent.embedded and {kind.name, kind.parent.type} & begun:
            begun |= {kind.name, kind.parent.type}
    # A second child of a parent that was only just found to be begun.
    begun |= {kind.name for kind in kinds if kind.parent is not None and kind.parent.embedded and kind.parent.type in begun}
    hiding = {kind.hidden_under.type for kind in kinds if kind.hidden_under is not None and kind.name in begun}
    return begun | {kind.name for kind in kinds if kind.name in hiding or _read_again(kind, checkpoints.get(kind.name), now)}


def _read_again(kind: ObjectType, checkpoint: Checkpoint | None, now: datetime) -> bool:
    """Say whether a type is read whole in every run; sums of whole days once a day.

    Requests for one parent each are not made twice before all are made once.
    """
    if kind.fresh is not Fresh.REFRESH or checkpoint is None:
        return kind.fresh is Fresh.REFRESH
    if kind.parent is not None and checkpoint.state == BACKFILL:
        return False
    return kind.window is None or checkpoint.started_at.date() < now.date()


def _told(kinds: Iterable[ObjectType]) -> set[str]:
    """Name the types of which only events tell, about them or about their parents (which stand before them)."""
    told: set[str] = set()
    for kind in kinds:
        if kind.fresh is Fresh.EVENTS or (kind.fresh is Fresh.PARENT and kind.parent is not None and kind.parent.type in told):
            told.add(kind.name)
    return told


def _is_told_later(kind: ObjectType) -> bool:
    """Say whether the list tells what is new of a type, and events what became of it."""
    return kind.fresh is Fresh.CREATED and bool(kind.events)


def _stale(kind: ObjectType, checkpoint: Checkpoint | None, now: datetime, since: int | None, told: set[str]) -> bool:
    if checkpoint is None:
        return True
    if checkpoint.since is not None and (since is None or since < checkpoint.since):
        return True
    if checkpoint.state == BACKFILL:
        return now - checkpoint.started_at > EVENTS_KEPT
    if kind.fresh is Fresh.CREATED and not kind.events:
        return checkpoint.created_from is None and checkpoint.events_from is None
    told_of = kind.name in told or _is_told_later(kind)
    return told_of and (checkpoint.events_from is None or now - checkpoint.updated_at > EVENTS_KEPT)
