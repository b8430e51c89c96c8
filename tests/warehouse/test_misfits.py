"""What the columns cannot hold is kept and told: a field that nobody described, a value of another type, a number too large."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from duckdb import DuckDBPyConnection as Connection
from equality import rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mirroring import NOW, World
from sync.altered import Altered

from stripe_assets.catalog.types import Catalog, Column, Kind, load
from stripe_assets.simulator.account import Account
from stripe_assets.warehouse.ledger import Ledger
from stripe_assets.warehouse.load import incoming, stage, upsert
from stripe_assets.warehouse.migrations import migrate
from stripe_assets.warehouse.misfits import MISFIT, MOST_STRANGERS, UNKNOWN, Fitting, Misfit

CUSTOMERS = load()["customers"]
COLUMNS = {
    "id": Kind.TEXT,
    "text": Kind.TEXT,
    "integer": Kind.INTEGER,
    "number": Kind.NUMBER,
    "boolean": Kind.BOOLEAN,
    "created": Kind.TIMESTAMP,
    "moment": Kind.TIMESTAMP_TEXT,
    "reference": Kind.ID,
    "json": Kind.JSON,
}
"""A column of every kind."""
KIND = dataclasses.replace(CUSTOMERS, columns=tuple(Column(*column) for column in COLUMNS.items()))


@pytest.fixture
def every(connection: Connection) -> Connection:
    """The mirror with a table of customers that has a column of every kind."""
    connection.execute("drop table stripe.customers")
    migrate(connection, Catalog("every kind", [KIND], ()))
    return connection


def put(connection: Connection, *texts: str, keep_raw: bool, fitting: Fitting | None = None) -> list[Misfit]:
    """Store objects, given as JSON, and give what was found to fit nowhere."""
    found: list[Misfit] = []
    rows = incoming([text.encode() for text in texts], [1000.0] * len(texts), [None] * len(texts))  # type: ignore[misc]  # bytes will do
    upsert(connection, KIND, stage(connection, KIND, rows, account_id="a", keep_raw=keep_raw, fitting=fitting, on_misfits=found.extend))
    return found


def stored(connection: Connection) -> dict[str, dict[str, Any]]:
    # Python has no times before the year 1, and cannot be trusted with those of other centuries either.
    shown = "* exclude (created, moment), epoch_us(created) as created, epoch_us(moment) as moment"
    cursor = connection.execute(f"select {shown} from stripe.customers")
    names = [column[0] for column in cursor.description]
    return {row[names.index("id")]: dict(zip(names, row, strict=True)) for row in cursor.fetchall()}


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.integers(-10, 10),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**40), 2**40).map(float),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    st.datetimes(datetime(1800, 1, 1), datetime(2300, 1, 1), timezones=st.just(UTC)).map(lambda moment: moment.isoformat()),
    st.sampled_from(["5", "12.7", "1e3", "true", "null", "", "{", '{"id":"x"}', "[]"]),
    st.sampled_from(["2026-02-30T00:00:00Z", "2026-01-01", "infinity", "epoch"]),
)
ANYTHING = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("abi", max_size=2), inner, max_size=2))
EXPANDED = st.fixed_dictionaries({"id": SCALARS}, optional={"object": st.just("customer")})
FIELDS = st.sampled_from([*(name for name in COLUMNS if name != "id"), "unknown", "Text", "_raw", "a.b", 'with "quotes"'])
OBJECTS = st.lists(st.dictionaries(FIELDS, ANYTHING | EXPANDED, max_size=4), min_size=1, max_size=5)


def in_column(value: Any, kind: Kind, kept: Any) -> bool:
    """Whether a column holds exactly what the JSON says."""
    match kind:
        case Kind.TEXT:
            return isinstance(value, str) and kept == value
        case Kind.INTEGER:
            return isinstance(value, int | float) and not isinstance(value, bool) and kept is not None and kept == value
        case Kind.NUMBER:
            return isinstance(value, int | float) and not isinstance(value, bool) and kept is not None and kept == float(value)
        case Kind.BOOLEAN:
            return isinstance(value, bool) and kept is value
        case Kind.TIMESTAMP:
            return isinstance(value, int | float) and not isinstance(value, bool) and kept is not None and kept == value * 1_000_000
        case Kind.TIMESTAMP_TEXT:
            since = (
                datetime.fromisoformat(value) - datetime(1970, 1, 1, tzinfo=UTC) if isinstance(value, str) and kept is not None else None
            )
            return since is not None and kept == since // timedelta(microseconds=1)
        case Kind.ID:
            return isinstance(kept, str) and kept == (value.get("id") if isinstance(value, dict) else value)
        case Kind.JSON:
            return kept is not None and bool(json.loads(kept) == value)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], print_blob=True)
@given(objects=OBJECTS, keep_raw=st.booleans(), escaped=st.booleans())
def test_whatever_comes_is_in_its_column_or_in_raw_and_told(
    every: Connection, objects: list[dict[str, Any]], keep_raw: bool, escaped: bool
) -> None:
    """Silently NULL is the worst that a column can be: an amount that is missing in a sum looks like no amount."""
    every.execute("delete from stripe.customers")
    named = {f"cus_{number}": {"id": f"cus_{number}", **fields} for number, fields in enumerate(objects)}
    told = put(every, *(json.dumps(thing, ensure_ascii=escaped) for thing in named.values()), keep_raw=keep_raw)
    rows = stored(every)
    expected: dict[tuple[str, str], list[str]] = {}
    for name, thing in named.items():
        row, raw = rows[name], json.loads(rows[name]["_raw"] or "null")
        assert raw == thing or (raw is None and not keep_raw)
        for key, value in thing.items():
            if key not in COLUMNS:
                expected.setdefault((key, UNKNOWN), []).append(name)
                assert value is None or raw == thing
            elif value is None:
                assert row[key] is None
            elif not in_column(value, COLUMNS[key], row[key]):
                expected.setdefault((key, MISFIT), []).append(name)
                assert raw == thing
                assert row[key] is None or COLUMNS[key] in (Kind.TEXT, Kind.ID), "bent to fit"
        for key in COLUMNS.keys() - thing.keys():
            assert row[key] is None
    assert {(one.column, one.change): (one.count, one.example_id) for one in told} == {
        what: (len(names), names[0]) for what, names in expected.items()
    }


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("12.7", None),
        ('"5"', None),
        ("true", None),
        ("5.0", 5),
        ("1e3", 1000),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", None),
        ("9007199254740993.0", None),
    ],
)
def test_whole_numbers_are_not_rounded_into_being(every: Connection, value: str, kept: int | None) -> None:
    """DuckDB makes 13 of 12.7, and 1 of true."""
    told = put(every, f'{{"id":"cus_1","integer":{value}}}', keep_raw=True)
    assert stored(every)["cus_1"]["integer"] == kept
    assert told == ([] if kept is not None else [Misfit("integer", MISFIT, 1, "cus_1")])


@pytest.mark.parametrize("value", ["1790000000000000", "-9000000000001", "9000000000001.0", "1e15"])
def test_time_that_no_column_can_tell_is_told(every: Connection, value: str) -> None:
    """Should Stripe ever count in microseconds, it must not end in a column of NULLs that nobody hears of."""
    assert put(every, f'{{"id":"cus_1","created":{value}}}', keep_raw=True) == [Misfit("created", MISFIT, 1, "cus_1")]
    assert stored(every)["cus_1"]["created"] is None


@pytest.mark.parametrize("written", ["2026-01-02T03:04:05Z", "2026-01-02t03:04:05.000z", "2026-01-02 04:04:05+01:00"])
def test_times_are_times_however_they_are_written(every: Connection, written: str) -> None:
    assert put(every, f'{{"id":"cus_1","moment":"{written}"}}', keep_raw=False) == []
    assert stored(every)["cus_1"]["moment"] == 1_767_323_045_000_000


def test_decimal_texts_keep_every_digit(every: Connection) -> None:
    digits = "0.10000000000000000555111512312578270211815834045410156250"
    assert put(every, f'{{"id":"cus_1","text":"{digits}"}}', keep_raw=False) == []
    assert stored(every)["cus_1"]["text"] == digits


def test_without_raw_only_objects_that_the_columns_cannot_hold_keep_theirs(every: Connection) -> None:
    """Who switches `_raw` off saves its room; what is nowhere else stays all the same."""
    whole = ['{"id":"a","integer":1}', '{"id":"b","new":null}', '{"id":"c","json":{"new":1}}', '{"id":"d","new":null}']
    odd = ['{"id":"e","integer":"x"}', '{"id":"f","new":1}', '{"id":"g","new":2}', '{"id":"h","reference":{"object":"customer"}}']
    put(every, *whole, *odd, keep_raw=False)
    assert [row["_raw"] for _, row in sorted(stored(every).items())] == [None] * len(whole) + odd


def test_field_that_comes_with_every_object_is_counted_without_looking_at_each(every: Connection) -> None:
    """Stripe adds fields whenever it likes; each object would be read a second time, field by field, for ever."""

    class Watched(Fitting):
        looked_at = 0

        def _look_at(self, *rest: Any) -> None:
            Watched.looked_at += 1
            super()._look_at(*rest)

    fitting = Watched(KIND.columns)
    texts = [json.dumps({"id": f"cus_{number}", "new": number % 2 or None}) for number in range(1000)]
    for times in (1, 2):
        assert put(every, *texts, keep_raw=True, fitting=fitting) == [Misfit("new", UNKNOWN, 1000, "cus_0")], times
    assert Watched.looked_at == 1


def test_keys_that_are_new_in_every_object_are_told_like_others(every: Connection) -> None:
    """Somebody's ids as keys would otherwise grow without an end."""
    texts = [json.dumps({"id": f"cus_{number}", f"key_{number}": 1}) for number in range(MOST_STRANGERS * 2)]
    told = put(every, *texts, keep_raw=True)
    assert {(one.column, one.count) for one in told} == {(f"key_{number}", 1) for number in range(MOST_STRANGERS * 2)}


def test_what_is_no_object_fits_nothing_and_stops_nothing() -> None:
    deep = b'{"id":"x","json":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    damaged = [b"5", b"null", b"[]", b"{", b"", b'{"id":"x","text":"\\ud800"}', b'{"unknown":"\\ud800"}', deep]
    found = Fitting(KIND.columns).check([*damaged, b'{"id":"cus_1","new":1}'])
    assert found.misfits == [Misfit("new", UNKNOWN, 1, "cus_1")]


def test_counts_of_further_chunks_and_runs_are_added(connection: Connection) -> None:
    ledger = Ledger(connection, "a")
    for misfit in (Misfit("balance", MISFIT, 2, "cus_1"), Misfit("balance", MISFIT, 3, None), Misfit("new", UNKNOWN, 1, "cus_2")):
        ledger.note_misfits(CUSTOMERS, [misfit])
    found = connection.execute(
        "select * exclude (noticed_at, last_noticed_at) from stripe_sync.schema_changes order by column_name"
    ).fetchall()
    assert found == [("a", "customers", "balance", MISFIT, 5, "cus_1"), ("a", "customers", "new", UNKNOWN, 1, "cus_2")]


def test_run_says_which_column_how_often_and_gives_an_example(tmp_path: Path) -> None:
    """From a list, from inside a parent and from an event: what does not fit is in the summary, in the books and in `_raw`."""
    here = World(tmp_path / "stripe.duckdb", Account(seed=3, customers=15, now=NOW))
    names = ("customers", "invoices", "invoice_lines")

    def spoil(_params: dict[str, str], status: int, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        for thing in body["data"]:
            if "balance" in thing:
                thing["balance"] = "much"
            for line in thing.get("lines", {}).get("data", []):
                line["brand_new"] = [1]
        return status, body

    usual = here.app
    here.app = Altered(usual, {"/v1/customers": spoil, "/v1/invoices": spoil})  # type: ignore[assignment]  # as usual but for two paths
    summary = here.sync(names)
    assert summary.complete
    found = {result.type: {one.column: one for one in result.misfits} for result in summary.results}
    counts = {result.type: result.rows for result in summary.results}
    assert (found["customers"]["balance"].change, found["customers"]["balance"].count) == (MISFIT, counts["customers"])
    assert (found["invoice_lines"]["brand_new"].change, found["invoice_lines"]["brand_new"].count) == (UNKNOWN, counts["invoice_lines"])
    example = found["customers"]["balance"].example_id
    with_raw = f"select balance, json_extract_string(_raw, '$.balance') from stripe.customers where id = '{example}'"
    assert rows(here.database, with_raw) == [(None, "much")]
    counted = "select occurrences from stripe_sync.schema_changes where type = 'customers' and column_name = 'balance'"
    assert rows(here.database, counted) == [(counts["customers"],)]
    ((noted,),) = rows(here.database, "select misfits from stripe_sync.run_types where type = 'customers'")
    assert "balance" in {one["column"] for one in json.loads(noted)}
    here.app = usual
    after = here.sync(names)
    assert all("balance" not in {one.column for one in result.misfits} for result in after.results)
