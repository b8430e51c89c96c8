"""What objects bring with them when they are stored: the children inside them, and notes of those to be asked for.

One family at a time, inside the caller's transaction. How rows are made is `load`'s, which parents can have children
`parents`', and the notes are `notes`'.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import duckdb

from stripe_assets.catalog.types import Catalog, Fresh, ObjectType
from stripe_assets.warehouse import load
from stripe_assets.warehouse.ledger import COMPLETE, NOTED, Ledger
from stripe_assets.warehouse.parents import askable


class Family:
    """The children of one type, while objects of that type are stored from the temporary table `staged`."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        kind: ObjectType,
        children: Sequence[ObjectType],
        *,
        account_id: str,
        selected: frozenset[str],
        begun: frozenset[str],
    ) -> None:
        """Look up how far the children are. Those of `selected` types are stored; `begun` ones are being asked for by parent."""
        self._connection = connection
        self._kind = kind
        self._account_id = account_id
        self._ledger = Ledger(connection, account_id)
        self._states = self._ledger.states(children)
        self.inside = [child for child in children if _embedded(child) and child.name in selected]
        self._asked = [child for child in children if child not in self.inside and self._follows(child, begun)]
        self._news: str | None = None

    def _follows(self, child: ObjectType, begun: frozenset[str]) -> bool:
        """Say whether a parent that is new or has changed is asked for these: known ones, or those that are being read at present.

        Of a type that nobody has asked for so far nothing is noted; of one that is only left out of this run it is.
        """
        known = self._states.get(child.name) in (NOTED, COMPLETE)
        alone = child.parent is not None and not child.parent.each
        return known and alone and (child.fresh is Fresh.PARENT or child.name in begun)

    def take_out(self, staged: str, *, told: Iterable[str] | None) -> None:
        """Take out of the staged parents what belongs to the children, once these are stored, and see which parents are news.

        `told` are the ids of parents that are known to have changed (none: all of them), whatever they look like.
        """
        for child in self.inside:
            load.forget_vanished_children(self._connection, staged, child)
            self._connection.execute(f"create or replace temp table cut_{child.name} as {load.cut_short(staged, child)}")
        requested = [child.parent.embedded for child in self.inside if child.parent is not None and child.parent.expand]
        load.leave_out(self._connection, staged, filter(None, requested))
        if self._asked or any(self._states.get(child.name) == COMPLETE for child in self.inside):
            self._news = load.news(self._connection, self._kind, staged, told=told)

    def note(self, staged: str) -> Counter[str]:
        """Note the children that are to be asked for: of all parents while their type is first read, then of those that are news.

        Where nothing tells of the parents, nothing tells of what lies deeper in their lists either: those are read again too.
        Gives how many notes of which type these were.
        """
        noted: Counter[str] = Counter()
        for child in self.inside:
            source = f"from cut_{child.name}"
            if self._states.get(child.name) == COMPLETE and self._kind.fresh is not Fresh.REFRESH:
                source += f" where parent_id in (from {self._news})"
            noted[child.name] = self._ledger.pend_children(child, source)
            self._connection.execute(f"drop table cut_{child.name}")
        for child in self._asked:
            parents = f"(from {staged} where id in (from {self._news}))"
            asked = askable(child, parents, account_id=self._account_id, now=0.0)
            source = f"select *, (select max(_synced_at) from {staged}) as noted_at from ({asked})"
            noted[child.name] = self._ledger.pend_children(child, source)
        if self._news is not None:
            self._connection.execute(f"drop table {self._news}")
        return noted


def forget_orphans(connection: duckdb.DuckDBPyConnection, catalog: Catalog, kind: ObjectType, *, account_id: str) -> None:
    """Mark what belongs to deleted objects of a type as deleted, and what belongs to that."""
    for child in catalog.children(kind.name):
        load.forget_orphans(connection, kind, child, account_id=account_id)
        forget_orphans(connection, catalog, child, account_id=account_id)


def _embedded(child: ObjectType) -> bool:
    return child.parent is not None and child.parent.embedded is not None
