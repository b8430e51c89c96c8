"""The dead letters: requests that could not be completed, and what is left of them once they have been made again.

They are written where requests fail (`Ledger.bury`). All functions work inside the caller's transaction; when to ask again
belongs in `sync`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb

from stripe_assets.catalog.types import Catalog
from stripe_assets.warehouse.tables import literal

OF_AN_OBJECT = "json_keys(params) = ['object']"
"""A letter about one object's children or itself, which has a note among what is still to be asked for; others are about a list."""
STANDING = """
    select account_id, type, attempts > 0 as again, count(*), max(attempts), arg_max(reason, failed_at), arg_max(request_id, failed_at)
    from stripe_sync.dead_letters group by all order by all
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """The dead letters of one type of one account: how many, and what the latest says.

    `again`: they can be driven again. Else objects came that cannot be stored: only a full reading brings them again.
    """

    account_id: str
    type: str
    again: bool
    count: int
    attempts: int
    reason: str
    request_id: str | None


def standing(connection: duckdb.DuckDBPyConnection) -> list[Standing]:
    """Sum up the dead letters of all accounts."""
    return [Standing(*row) for row in connection.execute(STANDING).fetchall()]


def begun(connection: duckdb.DuckDBPyConnection, catalog: Catalog) -> frozenset[str]:
    """Name the types that the mirror has begun to read, for whichever account."""
    rows = connection.execute("select distinct type from stripe_sync.checkpoints").fetchall()
    return frozenset(row[0] for row in rows if row[0] in catalog)


Asked = tuple[str, str, str]
"""A request: its type, its path, its parameters as JSON."""


class Letters:
    """The dead letters of one account, through one open connection."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, account_id: str) -> None:
        """Speak for `account_id` on `connection`."""
        self._connection = connection
        self._mine = f"account_id = {literal(account_id)} and attempts > 0"

    def types(self) -> set[str]:
        """Name the types that have letters which can be driven again."""
        return {row[0] for row in self._all("select distinct type", "true")}

    def about_lists(self) -> dict[Asked, int]:
        """List the requests for pages of lists, a few a type, with their attempts."""
        rows = self._all("select type, path, params::varchar, attempts", f"not {OF_AN_OBJECT}")
        return {(row[0], row[1], row[2]): row[3] for row in rows}

    def strike_answered(self, names: Iterable[str]) -> None:
        """Strike out the letters about objects of these types for which nothing is to be asked any more."""
        notes = "select 1 from stripe_sync.pending p where p.account_id = d.account_id and p.type = d.type and p.purpose <> 'missing'"
        self._connection.execute(
            f"delete from stripe_sync.dead_letters d where {self._mine} and {OF_AN_OBJECT} and type in (select unnest(?::varchar[])) "
            f"and not exists ({notes} and p.object_id = json_extract_string(d.params, '$.object'))",
            [list(names)],
        )

    def strike_lists(self, before: Mapping[Asked, int], *, read: Iterable[str]) -> None:
        """Strike out letters about lists that have been made again: those of lists that were `read` to their end, and those after which
        the same list failed elsewhere. Where nothing was asked, they stay."""
        after, done = self.about_lists(), set(read)
        failed_again = {asked[0] for asked, attempts in after.items() if before.get(asked) != attempts}
        for asked, attempts in after.items():
            untouched = before.get(asked) == attempts
            if asked[0] in done or (untouched and asked[0] in failed_again):
                self._connection.execute(
                    f"delete from stripe_sync.dead_letters where {self._mine} and type = ? and path = ? and params = ?::json", list(asked)
                )

    def _all(self, what: str, where: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(f"{what} from stripe_sync.dead_letters where {self._mine} and {where}").fetchall()
