"""Compares the mirror with the account, table by table, column by column, deletions included."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

from stripe_assets.catalog.types import Catalog, Column, Form, Kind, ObjectType, load
from stripe_assets.simulator.account import Account

EMBEDDED = 10
"""Objects of an embedded list that a list endpoint shows."""

Key = tuple[str | None, ...]
"""What no two living rows of a type share: the id, and where ids are the parents' own, the parent's before it."""


def differences(database: Path, account: Account, *, catalog: Catalog | None = None, types: tuple[str, ...] = ()) -> list[str]:
    """Say in one line each where the mirror differs from the account; nothing if they are equal."""
    found: list[str] = []
    catalog = catalog or load()
    with looking(database) as connection:
        for kind in catalog:
            if not types or kind.name in types:
                found += _type_differences(connection, kind, account, on_request(catalog, kind))
    return found


def rows(database: Path, query: str) -> list[tuple[Any, ...]]:
    """Run a query on the mirror."""
    with looking(database) as connection:
        return connection.execute(query).fetchall()


@cache
def _instance() -> duckdb.DuckDBPyConnection:
    """Give one DuckDB for all looks of a process: making one takes longer than most of them."""
    return duckdb.connect()


@contextmanager
def looking(database: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a mirror for reading, as the database `looked_at`."""
    with _instance().cursor() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute(f"attach '{database}' as looked_at (read_only)")
        try:
            connection.execute("use looked_at")
            yield connection
        finally:
            connection.execute("use memory")
            connection.execute("detach looked_at")


def on_request(catalog: Catalog, kind: ObjectType) -> list[list[str]]:
    """Give the fields, as paths of names, that a list shows only if it is asked to: they say nothing about equality."""
    return [path.split(".")[1:] for path in catalog.expansions(kind.name, catalog.names)]


def expected(kind: ObjectType, account: Account) -> dict[Key, dict[str, Any]]:
    """Give what the account has of a type, by key; with the columns that only the table has."""
    found: dict[Key, dict[str, Any]] = {}
    for place, thing in account.placed(kind.path):
        added: dict[str, Any] = {}
        if kind.parent is not None:
            if place is None:
                continue  # a transaction that is in no payout yet
            own = [kind.parent.column, *(f"{param}_id" for param in kind.parent.each)]
            added = {column: value for column, value in zip(own, place.split("/"), strict=True) if column not in thing}
        found[_key(kind, {**thing, **added})] = {**thing, **added}
    return found


def _key(kind: ObjectType, values: Mapping[str, Any]) -> Key:
    if kind.keyed_by_parent and kind.parent is not None:
        return values[kind.parent.column], values["id"]
    if kind.form is Form.SINGLE and kind.parent is None:
        return (None,)
    return (values["id"],)


def _type_differences(connection: duckdb.DuckDBPyConnection, kind: ObjectType, account: Account, requested: list[list[str]]) -> list[str]:
    names = [column.name for column in kind.columns]
    selected = ", ".join(f'"{name}"' for name in names)
    latest = "qualify _synced_at = max(_synced_at) over ()" if kind.form is Form.SINGLE and kind.parent is None else ""
    stored = connection.execute(f'select {selected}, _account_id, _deleted_at from stripe."{kind.name}" {latest}').fetchall()
    wanted = expected(kind, account)
    listed = set(account.listed(kind.path)) if kind.partial else None
    found = []
    living: dict[Key, dict[str, Any]] = {}
    for row in stored:
        values = dict(zip([*names, "_account_id", "_deleted_at"], row, strict=True))
        key = _key(kind, values)
        if values["_account_id"] != account.id:
            found.append(f"{kind.name} {values.get('id')}: filed under {values['_account_id']}")
        if kind.kept_days is not None and values["created"] < datetime.fromtimestamp(account.now, UTC) - timedelta(days=kind.kept_days):
            continue  # Stripe has dropped it; the mirror keeps what it has
        if values["_deleted_at"] is not None:
            if key in wanted:
                found.append(f"{kind.name} {values.get('id')}: marked deleted, but is there")
            continue
        if key in living:
            found.append(f"{kind.name} {values.get('id')}: there twice")
        living[key] = values
    # What is in no list can have been learnt from an event, but need not be known.
    found += [f"{kind.name} {key[-1]}: missing" for key in wanted.keys() - living.keys() if listed is None or key[-1] in listed]
    found += [f"{kind.name} {key[-1]}: not in the account" for key in living.keys() - wanted.keys()]
    for key in wanted.keys() & living.keys():
        for column in kind.columns:
            if [column.name] in requested or (column.name == "id" and "id" not in wanted[key]):
                continue
            want, got = _wanted(column, wanted[key]), _got(column, living[key][column.name])
            if _bare(column, want, requested) != _bare(column, got, requested):
                found.append(f"{kind.name} {key[-1]}.{column.name}: {got!r} instead of {want!r}")
    return found


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


def _bare(column: Column, value: Any, requested: list[list[str]]) -> Any:
    """Leave out what lies deeper inside a column and is shown only on request."""
    for first, *deeper in requested:
        if first == column.name and isinstance(value, dict):
            value = json.loads(json.dumps(value))
            within = value
            for name in deeper[:-1]:
                within = within.get(name) or {}
            within.pop(deeper[-1], None)
    return value
