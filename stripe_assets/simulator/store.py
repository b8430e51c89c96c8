"""Objects by kind, ordered by `created`, with the cursors that lists need.

Which filters a list knows belongs in `lists`, how an object looks in `rendering`.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from typing import Any

from stripe_assets.simulator.shapes import KINDS

_FIRST = -(1 << 60)
"""Before every turn: those of events that are told backwards are negative."""
Fields = dict[str, Any]
Change = Callable[[Fields, str], None]


class Record:
    """One object: only the fields that differ from its kind's neutral form, and its bytes once made."""

    __slots__ = ("body", "created", "fields", "id", "kind", "turn", "under")

    def __init__(self, kind: str, object_id: str, created: int, turn: int, fields: Fields, under: str | None = None) -> None:
        self.kind = kind
        self.id = object_id
        self.created = created
        self.turn = turn
        self.fields = fields
        self.under = under
        self.body: bytes | None = None

    def __repr__(self) -> str:
        return f"<{self.kind} {self.id} at {self.created}>"


def _place(record: Record) -> tuple[int, int]:
    return record.created, record.turn


def _insert(order: list[Record], record: Record) -> None:
    if order and _place(record) < _place(order[-1]):
        insort(order, record, key=_place)
    else:
        order.append(record)


class Shelf:
    """All present objects of one kind, oldest first; `parents` keeps those that lie under another object."""

    __slots__ = ("order", "parents")

    def __init__(self) -> None:
        self.order: list[Record] = []
        self.parents: dict[str, list[Record]] = {}

    def under(self, parent: str) -> list[Record]:
        """Give the objects under `parent`, oldest first."""
        return self.parents.get(parent, [])

    def add(self, record: Record) -> None:
        """Take in a record, in its place."""
        _insert(self.order, record)
        if record.under is not None:
            _insert(self.parents.setdefault(record.under, []), record)

    def remove(self, record: Record) -> None:
        """Take a record out."""
        del self.order[self.position(record)]
        if record.under is not None:
            self.parents[record.under].remove(record)

    def file(self, record: Record, parent: str) -> None:
        """Lay a record that lay under nothing under `parent`."""
        record.under = parent
        _insert(self.parents.setdefault(parent, []), record)

    def position(self, record: Record) -> int:
        """Give the index of a record in the order."""
        return bisect_left(self.order, _place(record), key=_place)

    def page(
        self,
        *,
        limit: int,
        after: Record | None = None,
        before: Record | None = None,
        since: int | None = None,
        until: int | None = None,
        parent: str | None = None,
        keep: Callable[[Record], bool] | None = None,
        oldest_first: bool = False,
    ) -> tuple[list[Record], bool]:
        """Give up to `limit` records that follow a cursor, and whether more follow.

        `since` and `until` bound `created`, both inclusive. `before` gives those next to the cursor on its newer side, in the list's order.
        """
        order = self.order if parent is None else self.under(parent)
        low = 0 if since is None else bisect_left(order, (since, _FIRST), key=_place)
        high = len(order) if until is None else bisect_left(order, (until + 1, _FIRST), key=_place)
        older, newer = (before, after) if oldest_first else (after, before)
        if older is not None:
            high = min(high, bisect_left(order, _place(older), key=_place))
        if newer is not None:
            low = max(low, bisect_left(order, _place(newer), key=_place) + 1)
        upwards = oldest_first != (before is not None)
        found = _walk(order, low, high, limit + 1, keep, upwards=upwards)
        more = len(found) > limit
        page = found[:limit]
        return (page[::-1] if before is not None else page), more


def _walk(order: list[Record], low: int, high: int, most: int, keep: Callable[[Record], bool] | None, *, upwards: bool) -> list[Record]:
    if keep is None:
        return order[low : min(high, low + most)] if upwards else order[max(low, high - most) : high][::-1] if high > low else []
    found = []
    for index in range(low, high) if upwards else range(high - 1, low - 1, -1):
        if keep(order[index]):
            found.append(order[index])
            if len(found) == most:
                break
    return found


class Store:
    """All objects of the account, present and gone.

    `shelves` holds what the story tells of. What it does not tell of grows when it is first asked for: until then its grower waits
    in `growers`.
    """

    def __init__(self) -> None:
        self.shelves: dict[str, Shelf] = {}
        self.grown: dict[str, Shelf] = {}
        self.growers: dict[str, Callable[[], None]] = {}
        self.hiding: set[str] = set()
        """Kinds with objects that their list does not show unless asked."""
        self.reshaped: dict[str, dict[str, Change]] = {}
        """What is done to fields of a kind before an object is shown."""
        self.present: dict[str, dict[str, Record]] = {}
        self.gone: dict[str, dict[str, tuple[Record, int]]] = {}
        self._turn = 0

    def shelf(self, kind: str) -> Shelf:
        """Give the shelf of a kind."""
        found = self.shelves.get(kind)
        if found is not None:
            return found
        found = self.grown.get(kind)
        if found is None:
            found = Shelf()
            (self.shelves if kind in KINDS else self.grown)[kind] = found
            self.present[kind] = {}
            self.gone[kind] = {}
        if (grow := self.growers.pop(kind, None)) is not None:
            grow()
        return found

    def add(self, kind: str, object_id: str, created: int, fields: Fields, under: str | None = None, *, backwards: bool = False) -> Record:
        """Put a new object on its shelf; `backwards`, it stands for older than those of the same second."""
        self._turn += 1
        record = Record(kind, object_id, created, -self._turn if backwards else self._turn, fields, under)
        self.shelf(kind).add(record)
        self.present[kind][object_id] = record
        return record

    def remove(self, record: Record, at: int) -> None:
        """Take an object away, and remember when."""
        self.shelf(record.kind).remove(record)
        del self.present[record.kind][record.id]
        self.gone[record.kind][record.id] = (record, at)

    def get(self, kind: str, object_id: str) -> Record | None:
        """Give a present object."""
        if kind in self.growers:
            self.shelf(kind)
        return self.present.get(kind, {}).get(object_id)

    def ever(self, kind: str, object_id: str) -> Record:
        """Give an object, present or gone; KeyError if it never was."""
        found = self.get(kind, object_id)
        return found if found is not None else self.gone[kind][object_id][0]

    def forget_before(self, kind: str, at: int) -> None:
        """Drop what is older than `at`, as if it had never been (events age out)."""
        shelf = self.shelf(kind)
        cut = bisect_left(shelf.order, (at, _FIRST), key=_place)
        present = self.present[kind]
        for record in shelf.order[:cut]:
            del present[record.id]
        del shelf.order[:cut]

    def each(self, kind: str) -> Iterator[Record]:
        """Go over present objects, oldest first."""
        return iter(self.shelf(kind).order)
