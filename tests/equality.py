"""Compares the mirror with the account, table by table, column by column, deletions included."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from stripe_assets.catalog.types import Catalog, Column, Form, Kind, ObjectType, load
from stripe_assets.simulator.account import Account

DAY = 86_400
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
    expected = _expected(kind, account)
    listed = None if kind.form is Form.SINGLE else set(account.listed(kind.path))
    found: list[str] = []
    living: dict[Any, dict[str, Any]] = {}
    for values in _stored(connection, kind):
        key = _key(kind, values)
        if values["_account_id"] != account.id:
            found.append(f"{kind.name} {key}: filed under {values['_account_id']}")
        if kind.kept_days is not None and values["created"].timestamp() < account.now - kind.kept_days * DAY:
            continue  # Stripe has dropped it; the mirror keeps what it has
        if values["_deleted_at"] is not None:
            if key in expected:
                found.append(f"{kind.name} {key}: marked deleted, but is there")
            continue
        if key in living:
            found.append(f"{kind.name} {key}: there twice")
        living[key] = values
    # What no list shows cannot be known, unless an event has told of it.
    found += [f"{kind.name} {key}: missing" for key in expected.keys() - living.keys() if listed is None or expected[key]["id"] in listed]
    found += [f"{kind.name} {key}: not in the account" for key in living.keys() - expected.keys()]
    for key in expected.keys() & living.keys():
        for column in kind.columns:
            wanted, got = _wanted(column, expected[key]), _got(column, living[key][column.name])
            if wanted != got and not _is_made(kind, column):
                found.append(f"{kind.name} {key}.{column.name}: {got!r} instead of {wanted!r}")
    return found


def _expected(kind: ObjectType, account: Account) -> dict[Any, dict[str, Any]]:
    """Give what the account has of a type, each with its parent's id where the object does not say it."""
    expected = {}
    for under, thing in account.placed(kind.path):
        if kind.parent is not None:
            if under is None:
                continue  # belongs to nobody, so that nobody can ask for it
            if not kind.parent.stated:
                thing = {**thing, kind.parent.column: under}  # noqa: PLW2901 - the same thing, with its place
        expected[_key(kind, thing)] = thing
    return expected


def _stored(connection: duckdb.DuckDBPyConnection, kind: ObjectType) -> list[dict[str, Any]]:
    """Give the rows of a type; of a single object, which has a row per sync, the last."""
    names = [column.name for column in kind.columns]
    selected = ", ".join(f'"{name}"' for name in [*names, "_account_id", "_deleted_at"])
    latest = "order by _synced_at desc limit 1" if _is_single(kind) else ""
    stored = connection.execute(f'select {selected} from stripe."{kind.name}" {latest}').fetchall()
    return [dict(zip([*names, "_account_id", "_deleted_at"], row, strict=True)) for row in stored]


def _key(kind: ObjectType, values: dict[str, Any]) -> Any:
    if _is_single(kind):
        return "the one"
    return (values[kind.parent.column], values["id"]) if kind.keyed_by_parent and kind.parent is not None else values["id"]


def _is_single(kind: ObjectType) -> bool:
    return kind.form is Form.SINGLE and kind.parent is None


def _is_made(kind: ObjectType, column: Column) -> bool:
    """Say whether the mirror has made the value itself, because the object has no id."""
    return _is_single(kind) and column.name == "id" and kind.object != "account"


def _wanted(column: Column, thing: dict[str, Any]) -> Any:
    value = thing.get(column.name)
    if value is None:
        return None
    if column.kind is Kind.TIMESTAMP:
        return datetime.fromtimestamp(value, UTC)
    if column.kind is Kind.TIMESTAMP_TEXT:
        return datetime.fromisoformat(value)
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
