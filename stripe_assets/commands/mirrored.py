"""A look into the mirror's file, for commands that only tell what it holds."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from stripe_assets.commands.endings import CommandError
from stripe_assets.errors import WarehouseError
from stripe_assets.warehouse.database import Database

WAIT = 30.0
"""Seconds to wait for a sync that is writing; it lets go of the file after each chunk, within a few seconds."""


@contextmanager
def reading(path: Path, *, wait: float = WAIT) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the mirror for reading. Raises `CommandError` where nothing is mirrored yet, and `WarehouseError`."""
    if not path.exists():
        raise CommandError(
            f"{path} does not exist, nothing is mirrored yet: run `stripe-assets sync`, or `stripe-assets demo` to look around; "
            "STRIPE_DUCKDB names another file"
        )
    try:
        database = Database(path, wait=wait)
        with database.open(read_only=True) as connection:
            database.refuse_newer(connection)
            yield connection
    except duckdb.Error as error:
        raise WarehouseError(
            f"{path} holds no mirror ({str(error).splitlines()[0]}): run `stripe-assets sync`, or set STRIPE_DUCKDB"
        ) from error
