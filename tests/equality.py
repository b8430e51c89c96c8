"""Compares the mirror with the account, table by table, column by column, deletions included."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from stripe_assets.catalog.types import Catalog, Column, Kind, ObjectType, load
from stripe_assets.simulator.account import Account

EVENTS_KEPT = 30 * 86_400
"""Seconds after which an event vanishes from the account."""
EMBEDDED = 10
"""Objects of an embedded list that a list endpoint shows."""


def differences(database: Path, account: Account, *, catalog: Catalog | None = None, types: tuple[str, ...] = ()) -> list[str]:
    """Say in one line each where the mirror differs from the account; nothing if they are equal."""
    found: list[str] = []
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute(f"attach '{database}' as looked_at (read_only)")
        connection.execute("use looked_at")
        for kind in catalog or load():
            if not types or kind.name in types:
                found += _type_differences(connection, kind, account)
    return found


def rows(database: Path, query: str) -> list[tuple[Any, ...]]:
    """Run a query on the mirror."""
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute(f"attach '{database}' as looked_at (read_only)")
        connection.execute("use looked_at")
        return connection.execute(query).fetchall()


def _type_differences(connection: duckdb.DuckDBPyConnection, kind: ObjectType, account: Account) -> list[str]:
    names = [column.name for column in kind.columns]
    selected = ", ".join(f'"{name}"' for name in names)
    stored = connection.execute(f'select {selected}, _account_id, _deleted_at from stripe."{kind.name}"').fetchall()
    expected = {thing["id"]: thing for thing in account.objects(kind.object)}
    found = []
    living = {}
    for row in stored:
        values = dict(zip([*names, "_account_id", "_deleted_at"], row, strict=True))
        if values["_account_id"] != account.id:
            found.append(f"{kind.name} {values['id']}: filed under {values['_account_id']}")
        if kind.object == "event" and values["created"].timestamp() < account.now - EVENTS_KEPT:
            continue  # Stripe has dropped it; the mirror keeps what it has
        if values["_deleted_at"] is not None:
            if values["id"] in expected:
                found.append(f"{kind.name} {values['id']}: marked deleted, but is there")
            continue
        if values["id"] in living:
            found.append(f"{kind.name} {values['id']}: there twice")
        living[values["id"]] = values
    found += [f"{kind.name} {name}: missing" for name in expected.keys() - living.keys()]
    found += [f"{kind.name} {name}: not in the account" for name in living.keys() - expected.keys()]
    for name in expected.keys() & living.keys():
        for column in kind.columns:
            wanted, got = _wanted(column, expected[name]), _got(column, living[name][column.name])
            if wanted != got:
                found.append(f"{kind.name} {name}.{column.name}: {got!r} instead of {wanted!r}")
    return found


def _wanted(column: Column, thing: dict[str, Any]) -> Any:
    value = thing.get(column.name)
    if value is None:
        return None
    if column.kind is Kind.TIMESTAMP:
        return datetime.fromtimestamp(value, UTC)
    if column.kind is Kind.ID and isinstance(value, dict):
        return value["id"]
    if column.kind is Kind.JSON and isinstance(value, dict) and value.get("object") == "list":
        return [entry["id"] for entry in value["data"][:EMBEDDED]]
    return value


def _got(column: Column, value: Any) -> Any:
    if column.kind is not Kind.JSON or value is None:
        return value
    parsed = json.loads(value)
    if isinstance(parsed, dict) and parsed.get("object") == "list":
        return [entry["id"] for entry in parsed["data"]]
    return parsed
