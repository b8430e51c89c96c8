"""A mirror in memory for the tests of how rows are made: one for all, each test's writing rolled back."""

from collections.abc import Callable, Iterator
from typing import Any

import duckdb
import msgspec
import pytest

from stripe_assets.catalog.types import load
from stripe_assets.warehouse.load import incoming, stage, upsert
from stripe_assets.warehouse.migrations import migrate

ACCOUNT = "acct_1"
Store = Callable[..., int]


@pytest.fixture(scope="session")
def _empty() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        migrate(connection, load())
        yield connection


@pytest.fixture
def connection(_empty: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    _empty.execute("begin")
    yield _empty
    _empty.execute("rollback")


@pytest.fixture
def store(connection: duckdb.DuckDBPyConnection) -> Store:
    """Store objects, as dictionaries or as JSON text, and give how many rows that were."""

    def store(name: str, *objects: Any, read_at: float = 1000.0, **options: Any) -> int:
        kind = load()[name]
        raws = [msgspec.Raw(thing.encode() if isinstance(thing, str) else msgspec.json.encode(thing)) for thing in objects]
        given = incoming(raws, [read_at] * len(raws), [None] * len(raws))
        return upsert(connection, kind, stage(connection, kind, given, **{"account_id": ACCOUNT, "keep_raw": True, **options}))

    return store
