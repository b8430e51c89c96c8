"""The mirror's tables as SQL: one per object type, and the tables in which the sync keeps its own books.

Loading rows into them belongs in `load`, reading the books in `ledger`.
"""

from collections.abc import Iterator

from stripe_assets.catalog.types import Catalog, Column, Kind, ObjectType

SQL_TYPES = {
    Kind.TEXT: "varchar",
    Kind.INTEGER: "bigint",
    Kind.NUMBER: "double",
    Kind.BOOLEAN: "boolean",
    Kind.TIMESTAMP: "timestamptz",
    Kind.TIMESTAMP_TEXT: "timestamptz",
    Kind.ID: "varchar",
    Kind.JSON: "json",
}

BOOKS_VERSION = 1
"""Raised with every change to the tables in `BOOKS`; a file with a higher one was written by a newer release."""

BOOKS = (
    "create table if not exists stripe_sync.versions (books integer not null, api_version varchar not null)",
    """create table if not exists stripe_sync.runs (
        run_id varchar primary key, started_at timestamptz not null, ended_at timestamptz, state varchar not null,
        requests bigint, objects bigint, throttled bigint, seconds double, details json)""",
    """create table if not exists stripe_sync.run_types (
        run_id varchar not null, account_id varchar not null, type varchar not null, state varchar not null,
        rows bigint not null, requests bigint not null, seconds double not null, reason varchar, request_id varchar)""",
    # One row a type: how far its list (`created_from`) and the events about it (`events_from`) have been stored.
    """create table if not exists stripe_sync.checkpoints (
        account_id varchar not null, type varchar not null, state varchar not null, events_from bigint,
        created_from bigint, since bigint, started_at timestamptz not null, updated_at timestamptz not null)""",
    # The open and finished slices of a backfill; those of one part (the list may be read once more with other parameters)
    # always cover the whole of `created` time between them.
    """create table if not exists stripe_sync.slices (
        account_id varchar not null, type varchar not null, slice integer not null,
        created_gte bigint, created_lt bigint, cursor varchar, done boolean not null, part integer not null default 0)""",
    # Requests still to be made for one object each: rows, never tasks. `purpose`: 'children' of it, 'hidden' ones that belong to
    # it, or the 'object' itself; 'missing' where Stripe had nothing to be asked. `further`: what else the request needs to say.
    # Children that were read before `noted_at` and are not in the list any more are gone (none: the list is not read whole).
    "create sequence if not exists stripe_sync.pending_numbers",
    """create table if not exists stripe_sync.pending (
        number bigint not null default nextval('stripe_sync.pending_numbers'), account_id varchar not null,
        type varchar not null, purpose varchar not null, object_id varchar not null, cursor varchar, further json, noted_at timestamptz)""",
    # What events said; kept until applied, and a little longer because windows overlap.
    """create table if not exists stripe_sync.changes (
        account_id varchar not null, event_id varchar not null, event_type varchar not null, created bigint not null,
        api_version varchar, object varchar, object_id varchar, payload json, applied boolean not null)""",
    """create table if not exists stripe_sync.dead_letters (
        account_id varchar not null, type varchar not null, path varchar not null, params json not null,
        reason varchar not null, request_id varchar, attempts integer not null, failed_at timestamptz not null)""",
    """create table if not exists stripe_sync.schema_changes (
        account_id varchar not null, type varchar not null, column_name varchar not null, change varchar not null,
        occurrences bigint not null, example_id varchar, noticed_at timestamptz not null)""",
)


def quoted(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a string."""
    return "'" + text.replace("'", "''") + "'"


def table(kind: ObjectType) -> str:
    """Name a type's table with its schema."""
    return f"stripe.{quoted(kind.name)}"


def create_table(kind: ObjectType) -> str:
    """Write the statement that creates a type's table: Stripe's fields by name, then the mirror's own columns."""
    columns = ",\n  ".join(f"{quoted(column.name)} {_column_type(column)}" for column in kind.columns)
    return (
        f"create table if not exists {table(kind)} (\n  {columns},\n"
        "  _account_id varchar not null,\n  _synced_at timestamptz not null,\n  _deleted_at timestamptz,\n"
        "  _raw json using compression zstd\n)"
    )


def _column_type(column: Column) -> str:
    # zstd, because nested objects repeat themselves from row to row.
    compression = " using compression zstd" if column.kind is Kind.JSON else ""
    return f"{SQL_TYPES[column.kind]}{compression}"


def statements(catalog: Catalog) -> Iterator[str]:
    """Give every statement that a new file needs, in order; all of them may be run again."""
    yield "create schema if not exists stripe"
    yield "create schema if not exists stripe_sync"
    yield from BOOKS
    for kind in catalog:
        yield create_table(kind)
