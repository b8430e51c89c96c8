"""Whether a mirror equals the simulated account: every object's JSON as it is kept in `_raw`, and what is deleted.

For accounts of a million objects: the tests compare the columns themselves, which are made of `_raw` in one statement.
"""

from pathlib import Path
from typing import Any

import duckdb
import orjson

from stripe_assets.catalog.types import Catalog, Form, Kind, ObjectType
from stripe_assets.simulator.account import Account


def differences(database: Path, account: Account, catalog: Catalog, kinds: tuple[ObjectType, ...]) -> list[str]:
    """Say in one line each where the mirror differs from the account; nothing if they are equal."""
    with duckdb.connect(str(database), read_only=True) as connection:
        return [line for kind in kinds for line in _of_type(connection, kind, account, catalog)]


def _of_type(connection: duckdb.DuckDBPyConnection, kind: ObjectType, account: Account, catalog: Catalog) -> list[str]:
    requested = {path.split(".")[1] for path in catalog.expansions(kind.name, catalog.names)}
    single = kind.form is Form.SINGLE and kind.parent is None
    latest = "qualify _synced_at = max(_synced_at) over ()" if single else ""
    owner = f'"{kind.parent.column}"' if kind.keyed_by_parent and kind.parent is not None else "null"
    query = f'select {owner}, id, _raw, epoch(created)::bigint from stripe."{kind.name}" where _deleted_at is null {latest}'
    found = connection.execute(query if kind.has_created and kind.form is Form.LIST else query.replace("epoch(created)::bigint", "null"))
    here: dict[tuple[str | None, str | None], Any] = {}
    lines: list[str] = []
    while rows := found.fetchmany(10_000):
        for parent, object_id, raw, created in rows:
            if kind.kept_days is None or created is None or created >= account.now - kind.kept_days * 86_400:
                place = (parent, None if single else object_id)
                lines += [f"{kind.name} {object_id}: there twice"] if place in here else []
                here[place] = raw
    shown = set(account.listed(kind.path)) if kind.partial else None
    for under, thing in account.placed(kind.path):
        if kind.parent is not None and under is None:
            continue
        object_id = None if single else thing["id"]
        raw = here.pop((under if owner != "null" else None, object_id), None)
        if raw is None and (shown is None or object_id in shown):
            lines.append(f"{kind.name} {object_id}: missing")
        elif raw is not None and (got := _bare(kind, orjson.loads(raw), requested)) != (wanted := _bare(kind, thing, requested)):
            wrong = sorted(name for name in wanted if got.get(name) != wanted[name])
            lines.append(f"{kind.name} {object_id}: {', '.join(wrong)}")
    return lines + [f"{kind.name} {object_id}: not in the account" for _, object_id in here]


def _bare(kind: ObjectType, thing: dict[str, Any], requested: set[str]) -> dict[str, Any]:
    """Give an object's columns: of references the ids, of embedded lists those on their first page, nothing that is shown on request."""
    wanted = [column for column in kind.columns if column.name not in requested and column.name in thing]
    return {column.name: _id(thing[column.name]) if column.kind is Kind.ID else _first_page(thing[column.name]) for column in wanted}


def _id(value: Any) -> Any:
    return value["id"] if isinstance(value, dict) else value


def _first_page(value: Any) -> Any:
    if isinstance(value, dict) and value.get("object") == "list":
        return [entry["id"] for entry in value["data"]]
    return value
