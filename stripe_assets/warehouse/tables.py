"""The mirror's tables as SQL, one per object type.

Loading rows into them belongs in `load`, bringing the tables of an older file up to date in `migrations`.
"""

from stripe_assets.catalog.types import Column, Kind, ObjectType

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

OWN_COLUMNS = {
    "_account_id": "varchar not null",
    "_synced_at": "timestamptz not null",
    "_deleted_at": "timestamptz",
    "_raw": "json using compression zstd",
}
"""What the mirror knows of an object besides Stripe's fields."""


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
    definitions = ",\n  ".join(f"{quoted(name)} {definition}" for name, definition in columns(kind).items())
    return f"create table if not exists {table(kind)} (\n  {definitions}\n)"


def columns(kind: ObjectType) -> dict[str, str]:
    """Give every column of a type's table with its definition."""
    stripes = {column.name: _definition(column) for column in kind.columns}
    return {**stripes, **OWN_COLUMNS}


def received(kind: ObjectType) -> list[Column]:
    """Give the columns that an object says itself: all but the parent's id, where only the way to the object tells it."""
    return [column for column in kind.columns if not is_from_parent(column, kind)]


def is_from_parent(column: Column, kind: ObjectType) -> bool:
    """Say whether a column holds the id of what an object was asked for by, and the object does not say it."""
    return column.name in owners(kind) and (kind.parent is None or not kind.parent.stated or column.name != kind.parent.column)


def owners(kind: ObjectType) -> list[str]:
    """Name the columns with the ids of those that the objects were asked for by, in the order in which they are handed over."""
    return [] if kind.parent is None else [kind.parent.column, *(f"{param}_id" for param in kind.parent.each)]


def _definition(column: Column) -> str:
    # zstd, because nested objects repeat themselves from row to row.
    compression = " using compression zstd" if column.kind is Kind.JSON else ""
    return f"{SQL_TYPES[column.kind]}{compression}"


def moment(seconds: float) -> str:
    """Write a time (seconds since 1970) as rows have it, so that equal ones are equal."""
    return f"make_timestamptz({round(seconds * 1e6)})"
