"""Brings the mirror's file up to date with this release and its API description; no row is lost by that.

All of it happens in the caller's transaction: interrupted anywhere, the file is as before, and the next run begins
again. What was done is recorded in `stripe_sync.migrations`. What tables look like belongs in `tables` and `books`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import duckdb

from stripe_assets.catalog.types import Catalog, ObjectType
from stripe_assets.warehouse.books import MIGRATIONS, VERSION
from stripe_assets.warehouse.conversions import converted, is_lossless, named
from stripe_assets.warehouse.tables import columns, create_table, quoted, table

REFRESH = "`stripe-assets sync --full-refresh` has read everything again"


@dataclass(frozen=True, slots=True)
class Change:
    """What was changed (`stripe.charges.amount`, say) and how; `advice` where the rows that are there want something done."""

    subject: str
    change: str
    advice: str | None = None


def version(connection: duckdb.DuckDBPyConnection) -> int:
    """Say which version the books are; 0 where there are none."""
    if ("stripe_sync", "versions") not in _tables(connection):
        return 0
    row = connection.execute("select books from stripe_sync.versions").fetchone()
    return int(row[0]) if row else 0


def is_somebody_elses(connection: duckdb.DuckDBPyConnection) -> bool:
    """Say whether another program has made tables under our schema's name."""
    present = _tables(connection)
    return ("stripe_sync", "versions") not in present and any(schema == "stripe" for schema, _ in present)


def migrate(connection: duckdb.DuckDBPyConnection, catalog: Catalog) -> list[Change]:
    """Create what a file lacks and convert what is of another type, and give what was changed; in a new file nothing was."""
    found = version(connection)
    changes = [*_books(connection, found), *_api_version(connection, catalog), *_types(connection, catalog)]
    if not found:
        return []
    for change in changes:
        connection.execute("insert into stripe_sync.migrations values (now(), ?, ?)", [change.subject, change.change])
    return changes


def _books(connection: duckdb.DuckDBPyConnection, found: int) -> Iterator[Change]:
    connection.execute("create schema if not exists stripe")
    connection.execute("create schema if not exists stripe_sync")
    for statements in MIGRATIONS[found:]:
        for statement in statements:
            connection.execute(statement)
    if found < VERSION:
        connection.execute("update stripe_sync.versions set books = ?", [VERSION])
        yield Change("stripe_sync", f"version {found} to {VERSION}")


def _api_version(connection: duckdb.DuckDBPyConnection, catalog: Catalog) -> Iterator[Change]:
    row = connection.execute("select api_version from stripe_sync.versions").fetchone()
    if row is None:
        connection.execute("insert into stripe_sync.versions (books, api_version) values (?, ?)", [VERSION, catalog.api_version])
    elif row[0] != catalog.api_version:
        connection.execute("update stripe_sync.versions set api_version = ?", [catalog.api_version])
        yield Change("API version", f"{row[0]} to {catalog.api_version}", f"what is stored keeps its older shape until {REFRESH}")


def _types(connection: duckdb.DuckDBPyConnection, catalog: Catalog) -> Iterator[Change]:
    """Add tables and columns that the description has and the file has not; what it no longer has stays."""
    present = _columns(connection)
    for kind in catalog:
        if kind.name not in present:
            connection.execute(create_table(kind))
            yield Change(f"stripe.{kind.name}", "added")
            continue
        for name, definition in columns(kind).items():
            subject = f"stripe.{kind.name}.{name}"
            old, new = present[kind.name].get(name), named(definition)
            if old is None:
                # Rows that are there have no value: a condition that forbids that could not be kept.
                connection.execute(f"alter table {table(kind)} add column {quoted(name)} {definition.removesuffix(' not null')}")
                yield Change(subject, f"added as {new}")
            elif old != new:
                become = _convert(connection, kind, name, old, definition.removesuffix(" not null"))
                if become == new:
                    yield Change(subject, f"{old} to {new}")
                elif become != old:
                    yield Change(subject, f"{old} to {become}, as some values would be lost as {new}", f"it can be {new} once {REFRESH}")


def _convert(connection: duckdb.DuckDBPyConnection, kind: ObjectType, name: str, old: str, definition: str) -> str:
    """Give a column the type that it is described with, or make it text while some of its values would not survive that.

    Text takes every value, the new ones as well. Once everything has been read again, it can become what it should be.
    """
    new, column, place = named(definition), quoted(name), table(kind)
    lost = f"select count(*) from {place} where {column} is not null and not ({is_lossless(column, old, new)})"
    if connection.execute(lost).fetchone() == (0,):
        become, using = definition, converted(column, old, new)
    else:
        become, using = "varchar", f"cast({column} as varchar)"
    if named(become) != old:
        # By a further column: DuckDB cannot turn one that is compressed with zstd into a number.
        connection.execute(f"alter table {place} add column _converted {become}")
        connection.execute(f"alter table {place} alter column _converted type {named(become)} using {using}")
        connection.execute(f"alter table {place} drop column {column}")
        connection.execute(f"alter table {place} rename column _converted to {column}")
    return named(become)


def _columns(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str]]:
    """Give the type of every column by the tables' names."""
    found: dict[str, dict[str, str]] = {}
    query = "select table_name, column_name, lower(data_type) from duckdb_columns() where database_name = current_database()"
    for name, column, kind in connection.execute(f"{query} and schema_name = 'stripe'").fetchall():
        found.setdefault(name, {})[column] = kind
    return found


def _tables(connection: duckdb.DuckDBPyConnection) -> set[tuple[str, str]]:
    query = "select table_schema, table_name from information_schema.tables where table_catalog = current_database()"
    return set(connection.execute(query).fetchall())
