"""Raw JSON becomes rows as `interface.md` promises them, whatever Stripe or an account's owner puts into it."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from duckdb import DuckDBPyConnection as Connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stripe_assets.catalog.types import load
from stripe_assets.warehouse.load import (
    cut_short,
    embedded,
    fetched,
    forget_vanished_children,
    incoming,
    mark_deleted,
    stage,
    upsert,
)
from stripe_assets.warehouse.tables import moment

ACCOUNT = "acct_1"
Store = Callable[..., int]
CATALOG = load()


def seen(connection: Connection, columns: str, name: str = "charges") -> list[tuple[Any, ...]]:
    return connection.execute(f"select {columns} from stripe.{name} order by id").fetchall()


def gone(name: str, read_at: float) -> str:
    """Write the source that says that an object was found deleted."""
    return f"select '{name}' as id, {moment(read_at)} as deleted_at, {moment(read_at)} as read_at"


def test_fields_become_columns_of_their_kind(connection: Connection, store: Store) -> None:
    store("charges", {"id": "ch_1", "created": 1_790_000_000, "amount": 1999, "currency": "usd", "paid": True, "metadata": {"a": "b"}})
    found = seen(connection, "id, created, amount, currency, paid, metadata, refunds, _account_id, _synced_at, _deleted_at")
    created, read = datetime.fromtimestamp(1_790_000_000, UTC), datetime.fromtimestamp(1000, UTC)
    assert found == [("ch_1", created, 1999, "usd", True, '{"a":"b"}', None, ACCOUNT, read, None)]


@pytest.mark.parametrize(
    ("reference", "stored"),
    [
        ("cus_1", "cus_1"),
        ({"id": "cus_1", "object": "customer", "name": "{odd}"}, "cus_1"),
        ({"id": "cus_1", "deleted": True}, "cus_1"),
        ({"object": "customer"}, None),
        ("{not json", "{not json"),
        ('{"id":"chosen"}', '{"id":"chosen"}'),
        (None, None),
    ],
)
def test_reference_is_the_id_expanded_or_not(connection: Connection, store: Store, reference: object, stored: object) -> None:
    """Joins need one shape: Stripe gives the id or the object, depending on who asked and how."""
    store("charges", {"id": "ch_1", "customer": reference})
    assert seen(connection, "customer") == [(stored,)]


@pytest.mark.parametrize("text", ["Größe 日本 😀", "\x00", "a\x00b", "'; drop table x; --", '"quoted" \\ back', "\u202eright", "\n\t", ""])
def test_text_arrives_letter_by_letter(connection: Connection, store: Store, text: str) -> None:
    store("customers", {"id": "cus_1", "email": text, "metadata": {"note": text}})
    ((email, metadata, raw),) = seen(connection, "email, metadata, _raw", "customers")
    assert (email, json.loads(metadata)["note"], json.loads(raw)["email"]) == (text, text, text)


def test_raw_is_the_object_as_received_byte_by_byte(connection: Connection, store: Store) -> None:
    """Spaces, order, number forms and unknown fields are what an auditor compares with Stripe's own answer."""
    raw = '{ "zz_unknown": [1.0, 1e3],  "id":"ch_1",\n "amount": 5, "description":"\\u00e9\\/" }'
    store("charges", raw)
    assert seen(connection, "amount, description, _raw") == [(5, "é/", raw)]


def test_raw_is_left_out_where_it_is_not_wanted(connection: Connection, store: Store) -> None:
    store("charges", {"id": "ch_1", "amount": 5}, keep_raw=False)
    assert seen(connection, "amount, _raw") == [(5, None)]


@pytest.mark.parametrize("amount", [2**63, -(2**63) - 1, 10**30, "many"])
def test_number_that_does_not_fit_is_null_and_stays_in_raw(connection: Connection, store: Store, amount: object) -> None:
    """One absurd value must not stop the chunk of thousands that it came with."""
    store("charges", {"id": "ch_1", "amount": amount}, {"id": "ch_2", "amount": 2**63 - 1})
    (first, second) = seen(connection, "amount, _raw")
    assert (first[0], json.loads(first[1])["amount"]) == (None, amount)
    assert second[0] == 2**63 - 1


@pytest.mark.parametrize("created", [10**17, -(10**17), 2**63, "yesterday", None])
def test_time_that_no_calendar_has_is_null(connection: Connection, store: Store, created: object) -> None:
    """DuckDB raises an error on such a time, which would end the whole run, again at every attempt."""
    assert store("charges", {"id": "ch_1", "created": created}, {"id": "ch_2", "created": 0}) == 2
    assert seen(connection, "id, created") == [("ch_1", None), ("ch_2", datetime(1970, 1, 1, tzinfo=UTC))]


@pytest.mark.parametrize(
    "bad", ['{"object":"charge"}', '{"id":null}', "5", "null", "[]", '"text"', '{"id":"ch_1","description":"\\ud800"}', '{"id":']
)
def test_unreadable_object_is_told_of_and_the_others_are_stored(connection: Connection, store: Store, bad: str) -> None:
    """Left out without a word, a charge would be missing in every sum; raised, it would take its whole page with it."""
    told: list[str] = []
    assert store("charges", {"id": "ch_0"}, bad, {"id": "ch_2"}, keep_raw=False, on_unreadable=told.extend) == 2
    assert told == [bad]
    assert seen(connection, "id, _raw") == [("ch_0", None), ("ch_2", None)]


def test_of_the_same_object_twice_in_a_chunk_the_later_reading_stays(connection: Connection) -> None:
    """Cursors overlap where a slice was split: which page arrives last says nothing about which is newer."""
    objects = [msgspec.Raw(f'{{"id":"ch_1","amount":{amount}}}'.encode()) for amount in (1, 2, 3)]
    given = incoming(objects, [10.0, 30.0, 20.0], [None] * 3)
    kind = CATALOG["charges"]
    assert upsert(connection, kind, stage(connection, kind, given, account_id=ACCOUNT, keep_raw=True)) == 1
    assert seen(connection, "amount, _synced_at") == [(2, datetime.fromtimestamp(30, UTC))]


def test_storing_again_replaces_and_revives(connection: Connection, store: Store) -> None:
    store("charges", {"id": "ch_1", "created": 5, "amount": 1}, {"id": "ch_2", "created": 9, "amount": 1})
    mark_deleted(connection, CATALOG["charges"], gone("ch_1", 1500), account_id=ACCOUNT, children=())
    store("charges", {"id": "ch_1", "created": 5, "amount": 2}, read_at=2000)
    assert seen(connection, "id, amount, _deleted_at") == [("ch_1", 2, None), ("ch_2", 1, None)]


def test_of_one_moment_the_later_delivery_stays_however_many_threads_parse(connection: Connection) -> None:
    """Ten thousand objects are parsed by several threads, in no order."""
    kind = CATALOG["charges"]
    objects = [msgspec.Raw(f'{{"id":"ch_{number % 3000}","amount":{number}}}'.encode()) for number in range(9000)]
    given = incoming(objects, [10.0] * len(objects), [None] * len(objects))
    upsert(connection, kind, stage(connection, kind, given, account_id=ACCOUNT, keep_raw=False))
    assert connection.execute("select count(*), min(amount), max(amount) from stripe.charges").fetchall() == [(3000, 6000, 8999)]


READINGS = st.lists(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 4), st.booleans()), min_size=1, max_size=6), max_size=5)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], print_blob=True)
@given(chunks=READINGS, created=st.booleans())
def test_whatever_is_stored_in_whatever_order_the_latest_reading_stays(
    connection: Connection, chunks: list[list[tuple[str, int, bool]]], created: bool
) -> None:
    """Answers overtake each other: an older state stored last would stand until the object changes again.

    Of two that were read at one time the later delivery wins.
    """
    connection.execute("delete from stripe.charges")
    kind, expected, number = CATALOG["charges"], dict[str, tuple[int, int, bool]](), 0
    for chunk in chunks:
        objects, times = [], []
        for name, read_at, deleted in chunk:
            if deleted:
                continue
            number += 1
            objects.append({"id": name, "amount": number, **({"created": ord(name)} if created else {})})
            times.append(float(read_at))
            if name not in expected or read_at >= expected[name][0]:
                expected[name] = (read_at, number, False)
        given = incoming([msgspec.Raw(msgspec.json.encode(one)) for one in objects], times, [None] * len(objects))
        upsert(connection, kind, stage(connection, kind, given, account_id=ACCOUNT, keep_raw=False))
        for name, read_at, deleted in chunk:
            if deleted:
                mark_deleted(connection, kind, gone(name, read_at), account_id=ACCOUNT, children=())
                if name in expected and read_at >= expected[name][0] and not expected[name][2]:
                    expected[name] = (read_at, expected[name][1], True)
    found = {name: row for name, *row in seen(connection, "id, amount, _deleted_at is not null")}
    assert found == {name: [amount, deleted] for name, (_, amount, deleted) in expected.items()}


@pytest.mark.parametrize("second", [{"id": "ch_2", "created": 6}, {"id": "ch_2"}])
def test_rows_are_replaced_also_where_some_of_a_chunk_do_not_say_when_they_were_created(
    connection: Connection, store: Store, second: object
) -> None:
    """The bounds of `created` that make replacing fast must hold for every row of the chunk, or rows stay twice."""
    store("charges", {"id": "ch_1", "created": 5}, second)
    store("charges", second, {"id": "ch_1", "created": 5})
    assert seen(connection, "id") == [("ch_1",), ("ch_2",)]


@pytest.mark.parametrize("odd", [{"id": "ch_1"}, {"id": "ch_1", "created": "yesterday"}])
def test_row_that_did_not_say_when_it_was_created_is_replaced_by_one_that_does(connection: Connection, store: Store, odd: object) -> None:
    """A custom account has no time until Stripe knows it, and a time that was of another type was kept as none."""
    store("charges", odd)
    store("charges", {"id": "ch_1", "created": 5, "amount": 1}, {"id": "ch_2", "created": 7}, read_at=1001.0)
    assert seen(connection, "id, amount") == [("ch_1", 1), ("ch_2", None)]


@pytest.mark.parametrize("name", ["coupons", "plans", "products"])
def test_object_that_takes_the_id_of_a_deleted_one_takes_its_row_as_well(connection: Connection, store: Store, name: str) -> None:
    """A coupon `SAVE10` is deleted and made again: the account has one, and a mirror with two would count each of them."""
    store(name, {"id": "chosen", "created": 1_700_000_000}, read_at=1000.0)
    store(name, {"id": "chosen", "created": 1_790_000_000}, read_at=2000.0)
    assert seen(connection, "id, created, _deleted_at", name) == [("chosen", datetime.fromtimestamp(1_790_000_000, UTC), None)]


def test_other_accounts_rows_are_left_alone(connection: Connection, store: Store) -> None:
    store("charges", {"id": "ch_1", "amount": 1}, account_id="acct_2")
    store("charges", {"id": "ch_1", "amount": 2})
    mark_deleted(connection, CATALOG["charges"], gone("ch_1", 1500), account_id="acct_2", children=())
    found = connection.execute("select _account_id, amount, _deleted_at is null from stripe.charges order by 1").fetchall()
    assert found == [(ACCOUNT, 2, True), ("acct_2", 1, False)]


def test_empty_chunk_stores_nothing(connection: Connection, store: Store) -> None:
    assert store("charges") == 0
    assert seen(connection, "count(*)", "charges group by id") == []


def invoice(name: str, *lines: str, more: bool = False) -> dict[str, Any]:
    data = [{"id": line, "object": "line_item", "amount": 1, "invoice": name} for line in lines]
    return {"id": name, "object": "invoice", "lines": {"object": "list", "data": data, "has_more": more}}


def store_with_lines(connection: Connection, *invoices: dict[str, Any], read_at: float) -> list[tuple[str, str | None]]:
    """Store invoices and the lines inside them, as the writer does, and give what is left to be asked for."""
    parent, child = CATALOG["invoices"], CATALOG["invoice_lines"]
    raws = [msgspec.Raw(msgspec.json.encode(thing)) for thing in invoices]
    given = incoming(raws, [read_at] * len(raws), [None] * len(raws))
    staged = stage(connection, parent, given, account_id=ACCOUNT, keep_raw=True)
    upsert(connection, parent, staged)
    upsert(connection, child, stage(connection, child, fetched(connection, embedded(staged, child)), account_id=ACCOUNT, keep_raw=True))
    forget_vanished_children(connection, staged, child)
    return connection.execute(f"select parent_id, cursor from ({cut_short(staged, child)})").fetchall()


LINES = "id, invoice, amount, _deleted_at is null"


def test_children_come_out_of_their_parents_lists(connection: Connection) -> None:
    """What the parent contains costs no request."""
    assert store_with_lines(connection, invoice("in_1", "il_1", "il_2"), invoice("in_2"), read_at=10) == []
    assert seen(connection, LINES, "invoice_lines") == [("il_1", "in_1", 1, True), ("il_2", "in_1", 1, True)]


def test_list_that_is_cut_short_is_to_be_read_on_from_its_last_child(connection: Connection) -> None:
    left = store_with_lines(connection, invoice("in_1", "il_1", "il_2", more=True), invoice("in_2", "il_3"), read_at=10)
    assert left == [("in_1", "il_2")]
    assert store_with_lines(connection, invoice("in_3", more=True), read_at=10) == [("in_3", None)]


def test_child_that_its_parent_no_longer_has_is_marked_deleted(connection: Connection) -> None:
    """No event tells of a line taken off a draft: only the invoice without it does."""
    store_with_lines(connection, invoice("in_1", "il_1", "il_2"), invoice("in_2", "il_3"), read_at=10)
    store_with_lines(connection, invoice("in_1", "il_2"), read_at=20)
    assert seen(connection, LINES, "invoice_lines") == [("il_1", "in_1", 1, False), ("il_2", "in_1", 1, True), ("il_3", "in_2", 1, True)]


@pytest.mark.parametrize("later", [invoice("in_1", "il_2", more=True), {"id": "in_1"}, {"id": "in_1", "lines": None}])
def test_children_outside_what_is_shown_are_not_taken_for_vanished(connection: Connection, later: dict[str, Any]) -> None:
    store_with_lines(connection, invoice("in_1", "il_1", "il_2"), read_at=10)
    store_with_lines(connection, later, read_at=20)
    assert [row[3] for row in seen(connection, LINES, "invoice_lines")] == [True, True]


def test_children_of_a_deleted_parent_are_marked_with_it(connection: Connection) -> None:
    """A deleted draft's lines would stay in every sum."""
    store_with_lines(connection, invoice("in_1", "il_1"), invoice("in_2", "il_2"), read_at=10)
    mark_deleted(connection, CATALOG["invoices"], gone("in_1", 20), account_id=ACCOUNT, children=CATALOG.children("invoices"))
    assert seen(connection, LINES, "invoice_lines") == [("il_1", "in_1", 1, False), ("il_2", "in_2", 1, True)]
    assert seen(connection, "id, _deleted_at is null", "invoices") == [("in_1", False), ("in_2", True)]


def test_object_of_five_megabytes_is_a_row_like_any_other(connection: Connection, store: Store) -> None:
    big = {"note": "x" * 5_000_000}
    store("customers", {"id": "cus_1", "metadata": big})
    assert seen(connection, "length(metadata)", "customers") == [(len(json.dumps(big, separators=(",", ":"))),)]
