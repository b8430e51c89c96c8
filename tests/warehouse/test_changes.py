"""Which event becomes the row, which a deletion, and which only says that the object must be read again."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from duckdb import DuckDBPyConnection as Connection

from stripe_assets.catalog.types import ObjectType, load
from stripe_assets.warehouse.changes import Verdicts, forget_applied, kinds_changed, store_events

ACCOUNT = "acct_1"
Store = Callable[..., int]
CATALOG = load()
CUSTOMERS = CATALOG["customers"]
EVERYTHING = dict.fromkeys((*CUSTOMERS.events, *CUSTOMERS.told_of), 0)
NOW = 5000.0
"""When the events are applied, later than the rows were read."""


def event(number: int, created: int, *, kind: str = "customer.updated", version: str = CATALOG.api_version, **thing: Any) -> dict[str, Any]:
    described = {"object": "customer", "id": "cus_1", **thing}
    return {"id": f"evt_{number}", "type": kind, "created": created, "api_version": version, "data": {"object": described}}


def keep(connection: Connection, *events: dict[str, Any], since: Mapping[str, int] = EVERYTHING) -> None:
    store_events(connection, [msgspec.Raw(msgspec.json.encode(each)) for each in events], since, CATALOG, account_id=ACCOUNT)


def judge(connection: Connection, *, trust_payloads: bool = True, kind: ObjectType = CUSTOMERS) -> dict[str, tuple[str, Any]]:
    """Give the verdict on each changed object, with the email that its payload shows, and settle it."""
    verdicts = Verdicts(connection, kind, account_id=ACCOUNT, api_version=CATALOG.api_version, now=NOW, trust_payloads=trust_payloads)
    rows = connection.execute("select object_id, verdict, payload from verdicts").fetchall()
    verdicts.settle(connection, ())
    return {name: (verdict, json.loads(payload).get("email") if verdict == "payload" else None) for name, verdict, payload in rows}


def pending(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.execute("select type, purpose, object_id from stripe_sync.pending order by number").fetchall()


def test_one_event_of_the_pinned_version_is_the_row(connection: Connection) -> None:
    keep(connection, event(1, 10, email="a"))
    assert judge(connection) == {"cus_1": ("payload", "a")}
    assert pending(connection) == []


def test_the_latest_of_several_events_is_the_row(connection: Connection) -> None:
    keep(connection, event(3, 12, email="c"), event(1, 10, email="a"), event(2, 11, email="b"))
    assert judge(connection) == {"cus_1": ("payload", "c")}


def test_two_events_in_one_second_have_no_order_so_the_object_is_read_again(connection: Connection) -> None:
    """Ids do not tell which came first: taking either may store the earlier state for ever."""
    keep(connection, event(1, 10, email="a"), event(2, 10, email="b"))
    assert judge(connection) == {"cus_1": ("read", None)}
    assert pending(connection) == [("customers", "object", "cus_1")]


def test_second_event_of_a_second_whose_first_was_applied_leads_to_reading_again(connection: Connection) -> None:
    keep(connection, event(1, 10, email="a"))
    judge(connection)
    keep(connection, event(2, 10, email="b"))
    assert judge(connection) == {"cus_1": ("read", None)}


def test_event_that_became_visible_after_a_later_one_changes_nothing(connection: Connection) -> None:
    """Its payload is an older state than the row's."""
    keep(connection, event(2, 20, email="new"))
    judge(connection)
    keep(connection, event(1, 10, email="old"))
    assert judge(connection) == {}
    assert kinds_changed(connection, CATALOG, account_id=ACCOUNT) == []


def test_payload_of_another_version_is_not_the_row(connection: Connection) -> None:
    """It has the shape of the version in force when it was made: two shapes in one table."""
    keep(connection, event(1, 10, version="2019-03-14"))
    assert judge(connection) == {"cus_1": ("read", None)}


def test_event_without_a_version_is_not_the_row(connection: Connection) -> None:
    keep(connection, event(1, 10) | {"api_version": None})
    assert judge(connection) == {"cus_1": ("read", None)}


def test_row_that_was_read_meanwhile_is_read_again_rather_than_overwritten(connection: Connection) -> None:
    keep(connection, event(1, 10))
    assert judge(connection, trust_payloads=False) == {"cus_1": ("read", None)}


def test_deletion_needs_no_request(connection: Connection, store: Store) -> None:
    store("customers", {"id": "cus_1"}, {"id": "cus_2"})
    keep(connection, event(1, 10), event(2, 11, kind="customer.deleted", version="2019-03-14"))
    assert judge(connection) == {"cus_1": ("deleted", None)}
    deleted = connection.execute("select id, epoch(_deleted_at) from stripe.customers order by 1").fetchall()
    assert deleted == [("cus_1", 11), ("cus_2", None)]
    assert pending(connection) == []


def test_change_that_is_dated_after_a_deletion_is_asked_about(connection: Connection) -> None:
    """The clocks of two machines differ by a second, or somebody has used the id again: only Stripe knows whether it is there."""
    keep(connection, event(1, 10, kind="customer.deleted"), event(2, 11, email="b"), event(3, 11, id="cus_2", email="c"))
    assert judge(connection) == {"cus_1": ("read", None), "cus_2": ("payload", "c")}


def test_change_and_deletion_in_one_second_are_asked_about(connection: Connection) -> None:
    keep(connection, event(1, 10), event(2, 10, kind="customer.deleted"))
    assert judge(connection) == {"cus_1": ("read", None)}


def test_what_can_be_read_after_its_end_is_not_asked_whether_it_is_there(connection: Connection) -> None:
    """A payment method that was detached is answered like any other: it would live in the mirror for ever."""
    for order in (("attached", "detached"), ("detached", "updated")):
        happened = [event(number, 10, kind=f"payment_method.{what}") for number, what in enumerate(order)]
        keep(connection, *happened, since=dict.fromkeys(CATALOG["payment_methods"].events, 0))
        assert judge(connection, kind=CATALOG["payment_methods"]) == {"cus_1": ("deleted", None)}
        assert pending(connection) == []
        connection.execute("delete from stripe_sync.changes")


def test_event_that_is_seen_twice_counts_once(connection: Connection) -> None:
    """Windows overlap, and pages shift while they are read: a duplicate is no second change."""
    keep(connection, event(1, 10, email="a"), event(1, 10, email="a"))
    keep(connection, event(1, 10, email="a"))
    assert judge(connection) == {"cus_1": ("payload", "a")}
    keep(connection, event(1, 10, email="a"))
    assert judge(connection) == {}


def test_same_object_is_noted_once(connection: Connection) -> None:
    for number in (10, 20):
        keep(connection, event(number, number), event(number + 1, number))
        judge(connection)
    assert pending(connection) == [("customers", "object", "cus_1")]


def test_only_wanted_objects_are_kept_each_from_its_own_position(connection: Connection) -> None:
    """One window serves all types: it reaches back to the slowest, and must not bring old states of the others."""
    keep(
        connection,
        event(1, 10, id="cus_old"),
        event(2, 20, id="cus_new"),
        event(3, 30, object="charge", id="ch_1", kind="charge.updated"),
        event(4, 30, object="invoice", id="in_1", kind="invoice.updated"),
        event(5, 31, object="invoice", id=None, kind="invoice.upcoming"),
        since={"customer.updated": 20, "invoice.updated": 0, "invoice.upcoming": 0},
    )
    kept = connection.execute("select object, object_id from stripe_sync.changes order by event_id").fetchall()
    assert kept == [("customer", "cus_new"), ("invoice", "in_1")]
    assert [kind.name for kind in kinds_changed(connection, CATALOG, account_id=ACCOUNT)] == ["customers", "invoices"]


def test_event_that_is_no_event_is_passed_over(connection: Connection) -> None:
    events = [msgspec.Raw(b'{"id":"evt_1"}'), msgspec.Raw(b"5"), msgspec.Raw(b'{"id":"evt_2","type":"\\ud800"}')]
    store_events(connection, events, EVERYTHING, CATALOG, account_id=ACCOUNT)
    keep(connection, event(3, 10, email="a"))
    assert judge(connection) == {"cus_1": ("payload", "a")}


def test_event_without_an_id_tells_what_others_tell(connection: Connection) -> None:
    """It may never come; but the run that could not store it would end there, and every run after it."""
    nameless = {name: value for name, value in event(1, 10, email="a").items() if name != "id"}
    keep(connection, nameless, event(2, 10, id="cus_2", email="b"))
    keep(connection, nameless)
    assert judge(connection) == {"cus_1": ("payload", "a"), "cus_2": ("payload", "b")}


def test_event_about_something_else_leads_to_the_object_that_it_names(connection: Connection) -> None:
    """A customer's discount ends: the customer is not what it was, and the event shows the discount."""
    keep(connection, event(1, 10, kind="customer.discount.deleted", object="discount", id="di_1", customer="cus_7"))
    keep(connection, event(2, 11, kind="customer.discount.created", object="discount", id="di_2", customer={"id": "cus_8"}))
    assert judge(connection) == {"cus_7": ("read", None), "cus_8": ("read", None)}


def test_only_applied_events_that_no_window_reaches_are_forgotten(connection: Connection) -> None:
    keep(connection, event(1, 10, id="cus_1"), event(2, 90, id="cus_2"))
    judge(connection)
    keep(connection, event(3, 11, id="cus_3"))
    forget_applied(connection, account_id=ACCOUNT, before=50)
    assert connection.execute("select event_id from stripe_sync.changes order by 1").fetchall() == [("evt_2",), ("evt_3",)]


def test_accounts_do_not_see_each_others_events(connection: Connection) -> None:
    store_events(connection, [msgspec.Raw(msgspec.json.encode(event(1, 10)))], EVERYTHING, CATALOG, account_id="acct_2")
    keep(connection, event(1, 10, email="a"))
    assert judge(connection) == {"cus_1": ("payload", "a")}
    assert kinds_changed(connection, CATALOG, account_id="acct_2") == [CUSTOMERS]
