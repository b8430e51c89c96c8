"""Looks in the mirror alone for children without their parents, and for lists that parents name and the mirror has only in part.

No request is needed. What a parent's own list says is known only where it is always in the parent, and not on request; where
the rows themselves do not say whose they are, nothing is.
"""

from dataclasses import dataclass
from typing import Any

import duckdb

from stripe_assets.catalog.types import Catalog, ObjectType
from stripe_assets.warehouse.ledger import COMPLETE
from stripe_assets.warehouse.load import place
from stripe_assets.warehouse.tables import literal, quoted, table

EXAMPLES = 10
"""Relatives that are shown; all are counted."""
NO_PARENT, NOT_THERE, CUT = (
    "its parent is not in the mirror",
    "named by its parent, but not in the mirror",
    "has more children than the mirror",
)
LIST = '{"has_more":"BOOLEAN","total_count":"BIGINT","data":[{"id":"VARCHAR"}]}'


@dataclass(frozen=True, slots=True)
class Relative:
    """A child or a parent with which something is wrong."""

    account_id: str
    id: str
    parent_id: str
    wrong: str


@dataclass(frozen=True, slots=True)
class Kinship:
    """How the children of one type stand: so many in the accounts that were looked at, what is wrong with how many, and examples."""

    type: str
    accounts: int
    children: int
    lists: int
    wrong: dict[str, int]
    examples: tuple[Relative, ...]


def is_knowable(kind: ObjectType) -> bool:
    """Say whether a type's rows name a parent that has a row of its own."""
    return kind.parent is not None and kind.parent.ids is None


def kinship(connection: duckdb.DuckDBPyConnection, catalog: Catalog, child: ObjectType) -> Kinship:
    """Look at the children of one type in every account that holds them and their parents whole."""
    assert child.parent is not None
    parent = catalog[child.parent.type]
    connection.execute(f"""
        create or replace temp table whole as select c.account_id as _account_id from stripe_sync.checkpoints c
        join stripe_sync.checkpoints p on p.account_id = c.account_id and p.type = {literal(parent.name)}
        where c.type = {literal(child.name)} and c.state = '{COMPLETE}' and p.state = '{COMPLETE}' and c.since is null and p.since is null
    """)
    column = quoted(child.parent.column)
    alive = "_deleted_at is null and _account_id in (from whole)"
    connection.execute(f"create or replace temp view parents as select * from {table(parent)} where {alive}")
    connection.execute(
        f"create or replace temp view children as select id, {column}::varchar as parent_id, _account_id from {table(child)} where {alive}"
    )
    said = " and c.parent_id is not null" if child.parent.stated else ""
    found = [
        *_found(connection, NO_PARENT, f"select c._account_id, c.id, c.parent_id from children c anti join parents p "
                f"on p.id = c.parent_id and p._account_id = c._account_id where true{said}"),
    ]  # fmt: skip
    lists = 0
    if child.parent.embedded is not None and not child.parent.expand:
        lists = _lists(connection, child, child.parent.embedded)
        found += _found(connection, NOT_THERE, _not_there())
        found += _found(connection, CUT, _cut())
    wrong = {what: count for what, count, _ in found if count}
    examples = [Relative(account, name, owner or "", what) for what, _, rows in found for account, name, owner in rows]
    ((accounts,),) = connection.execute("select count(*) from whole").fetchall()
    ((children,),) = connection.execute("select count(*) from children").fetchall()
    return Kinship(child.name, int(accounts), int(children), lists, wrong, tuple(examples[:EXAMPLES]))


def _lists(connection: duckdb.DuckDBPyConnection, child: ObjectType, embedded: str) -> int:
    """Lay out the lists inside the parents, but not of those that are still to be asked for their children; give how many."""
    connection.execute(f"""
        create or replace temp table lists as
        select p._account_id, p.id, from_json({place(embedded, "p")}, {literal(LIST)}) as l from parents p
        where {place(embedded, "p")} is not null and not exists (
          from stripe_sync.pending n where n.account_id = p._account_id and n.type = {literal(child.name)} and n.object_id = p.id)
    """)
    ((count,),) = connection.execute("select count(*) from lists").fetchall()
    return int(count)


def _not_there() -> str:
    return """select n._account_id, n.id, n.parent_id from (select _account_id, id as parent_id, unnest(l.data).id as id from lists) n
        anti join children c on c.id = n.id and c._account_id = n._account_id where n.id is not null"""


def _cut() -> str:
    return """with counted as (select _account_id, parent_id, count(*) as n from children group by all)
        select p._account_id, p.id, p.id as parent_id
        from lists p left join counted c on c._account_id = p._account_id and c.parent_id = p.id
        where (p.l.has_more and coalesce(c.n, 0) <= len(p.l.data)) or coalesce(c.n, 0) < p.l.total_count"""


def _found(connection: duckdb.DuckDBPyConnection, what: str, query: str) -> list[tuple[str, int, list[Any]]]:
    ((count,),) = connection.execute(f"select count(*) from ({query})").fetchall()
    rows = connection.execute(f"select * from ({query}) order by all limit {EXAMPLES}").fetchall() if count else []
    return [(what, int(count), rows)]
