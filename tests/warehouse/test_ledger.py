"""The books never say more than is stored, whatever was written in whatever order, and a run goes on from them."""

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import duckdb
import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sync.listing import Delivered, Listing, Reading, gaps

from stripe_assets.catalog.types import load
from stripe_assets.errors import Rejected
from stripe_assets.sync.slices import Slice
from stripe_assets.warehouse.deliveries import PendingProgress, SliceProgress, SliceRange
from stripe_assets.warehouse.ledger import BACKFILL, COMPLETE, Ledger, StoredSlice, TypeResult
from stripe_assets.warehouse.misfits import MISFIT, Misfit
from stripe_assets.warehouse.notes import Pending

ACCOUNT = "acct_1"
NOW = 1_790_000_000.0
CATALOG = load()
CHARGES, CUSTOMERS, METHODS, LINES = (
    CATALOG[name] for name in ("charges", "customers", "customer_cash_balance_transactions", "invoice_lines")
)
BEGAN = datetime(2026, 11, 1, tzinfo=UTC)

STEPS = st.lists(st.tuples(st.sampled_from(["read", "read", "read", "split", "delete", "store"]), st.integers(0, 1000)), max_size=60)


def store_some(ledger: Ledger, waiting: list[Delivered], stored: set[str], choice: int) -> None:
    """Store a batch of what waits. Pages of one slice stay in order; pages of different slices may overtake each other."""
    batch: list[Delivered] = []
    for _ in range(1 + choice % 3):
        heads = {each.number: each for each in reversed(waiting)}
        if heads:
            chosen = sorted(heads.values(), key=lambda each: each.number)[choice % len(heads)]
            waiting.remove(chosen)
            batch.append(chosen)
    if batch:
        ledger.save_slices(CHARGES, [each.progress for each in batch])
        stored |= set().union(*(each.ids for each in batch))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], print_blob=True)
@given(times=st.lists(st.integers(0, 60), max_size=30), steps=STEPS)
def test_killed_anywhere_the_books_lead_to_everything_that_is_not_stored(
    connection: duckdb.DuckDBPyConnection, times: list[int], steps: list[tuple[str, int]]
) -> None:
    """A position ahead of its rows loses them for ever: a whole reading would even mark them as deleted."""
    connection.execute("delete from stripe_sync.slices")
    ledger, listing = Ledger(connection, ACCOUNT), Listing(times)
    reading = Reading(listing, [Slice(0)], bottom=0)
    waiting: list[Delivered] = []
    stored: set[str] = set()
    for action, choice in steps:
        if action == "split":
            reading.split(choice)
        elif action == "delete" and listing.living:
            listing.deleted.add(listing.living[choice % len(listing.living)])
        elif action == "store":
            store_some(ledger, waiting, stored, choice)
        elif action == "read" and (delivered := reading.step(choice)) is not None:
            waiting.append(delivered)
    books = ledger.slices(CHARGES)
    assert not books or gaps([(piece.range.gte, piece.range.lt) for piece in books]) == []
    resumed = [Slice(piece.range.number, piece.range.gte, piece.range.lt, piece.cursor, piece.done) for piece in books] or [Slice(0)]
    for delivered in Reading(listing, resumed, bottom=0).rest():
        stored |= delivered.ids
    assert stored >= set(listing.living)


def progress(number: int, *ranges: tuple[int, int | None, int | None], cursor: str | None = None, done: bool = False) -> SliceProgress:
    return SliceProgress(tuple(SliceRange(*each) for each in ranges), number, cursor, done)


WHOLE = (0, None, None)
HALVES = ((0, 50, None), (1, None, 50))


def test_slices_are_as_far_as_their_stored_pages(connection: duckdb.DuckDBPyConnection) -> None:
    ledger = Ledger(connection, ACCOUNT)
    ledger.save_slices(CHARGES, [progress(0, WHOLE, cursor="a"), progress(0, *HALVES, cursor="b"), progress(1, *HALVES, done=True)])
    assert ledger.slices(CHARGES) == [StoredSlice(SliceRange(0, 50, None), "b", False), StoredSlice(SliceRange(1, None, 50), None, True)]
    assert ledger.slices(CUSTOMERS) == []
    assert Ledger(connection, "acct_2").slices(CHARGES) == []


def test_page_that_arrives_late_does_not_give_back_what_was_split_off(connection: duckdb.DuckDBPyConnection) -> None:
    """Slice 0 is done with its own half; taken for the whole again, the other half would never be read."""
    ledger = Ledger(connection, ACCOUNT)
    ledger.save_slices(CHARGES, [progress(0, *HALVES, cursor="b", done=True)])
    ledger.save_slices(CHARGES, [progress(2, WHOLE, cursor="late")])
    expected = [StoredSlice(SliceRange(0, 50, None), "b", True), StoredSlice(SliceRange(1, None, 50), None, False)]
    assert ledger.slices(CHARGES) == expected


def test_newest_object_of_a_list_is_remembered_and_never_goes_back(connection: duckdb.DuckDBPyConnection) -> None:
    ledger = Ledger(connection, ACCOUNT)
    begin(ledger, CHARGES)
    for newest in (70, 60, None):
        ledger.save_slices(CHARGES, [SliceProgress((SliceRange(0),), 0, "a", False, newest=newest)])
    assert ledger.checkpoints()["charges"].created_from == 70
    ledger.finish(CHARGES, created_from=65, whole=False, at=NOW)
    assert ledger.checkpoints()["charges"].created_from == 70


def begin(ledger: Ledger, *kinds: Any, events_from: int | None = 10, since: int | None = None) -> None:
    ledger.begin_backfill(kinds, now=BEGAN, events_from=events_from, since=since)


def test_beginning_forgets_what_was_known_of_the_type_alone(connection: duckdb.DuckDBPyConnection) -> None:
    ledger = Ledger(connection, ACCOUNT)
    begin(ledger, CHARGES, CUSTOMERS)
    for kind in (CHARGES, CUSTOMERS):
        ledger.save_slices(kind, [progress(0, WHOLE, cursor="a")])
        ledger.finish(kind, created_from=5, whole=False, at=NOW)
    begin(ledger, CHARGES, events_from=20, since=3)
    charges, customers = (ledger.checkpoints()[name] for name in ("charges", "customers"))
    assert (charges.state, charges.events_from, charges.created_from, charges.since, charges.started_at) == (BACKFILL, 20, None, 3, BEGAN)
    assert (customers.state, customers.events_from, customers.created_from) == (COMPLETE, 10, 5)
    assert (ledger.slices(CHARGES), len(ledger.slices(CUSTOMERS))) == ([], 1)


def test_position_in_the_events_never_goes_back(connection: duckdb.DuckDBPyConnection) -> None:
    ledger = Ledger(connection, ACCOUNT)
    begin(ledger, CHARGES)
    for newest, position in ((30, 30), (20, 30), (None, 30)):
        ledger.caught_up([CHARGES], events_from=newest, at=NOW)
        assert ledger.checkpoints()["charges"].events_from == position


def test_list_that_was_read_to_its_end_is_up_to_date_once_the_events_since_its_beginning_are_applied(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    """Killed between the two, the mirror is as old as the reading's beginning: events are counted from there, and kept for 30 days."""
    ledger, rates = Ledger(connection, ACCOUNT), CATALOG["exchange_rates"]
    begin(ledger, CHARGES, METHODS, rates)
    for kind in (CHARGES, METHODS, rates):
        ledger.finish(kind, created_from=None, whole=True, at=NOW)
    at = {name: one.updated_at.timestamp() for name, one in ledger.checkpoints().items()}
    assert at == {"charges": BEGAN.timestamp(), METHODS.name: BEGAN.timestamp(), rates.name: NOW}
    ledger.caught_up([CHARGES, METHODS], events_from=None, at=NOW)
    assert ledger.checkpoints()["charges"].updated_at.timestamp() == NOW


def test_what_a_whole_reading_did_not_see_is_gone_and_no_more(connection: duckdb.DuckDBPyConnection, store: Any) -> None:
    """Deletes outside the window of events are found by nothing else; and another account's rows were not looked at."""
    ledger = Ledger(connection, ACCOUNT)
    begin(ledger, CHARGES)
    began = BEGAN.timestamp()
    store("charges", {"id": "ch_old"}, read_at=began - 1)
    store("charges", {"id": "ch_seen"}, read_at=began)
    store("charges", {"id": "ch_other"}, read_at=began - 1, account_id="acct_2")
    store("customers", {"id": "cus_old"}, read_at=began - 1)
    ledger.finish(CHARGES, created_from=None, whole=False, at=NOW)
    assert connection.execute("select count(*) from stripe.charges where _deleted_at is not null").fetchall() == [(0,)]
    ledger.finish(CHARGES, created_from=None, whole=True, at=NOW)
    assert connection.execute("select id from stripe.charges where _deleted_at is not null").fetchall() == [("ch_old",)]
    assert connection.execute("select count(*) from stripe.customers where _deleted_at is not null").fetchall() == [(0,)]
    assert ledger.slices(CHARGES) == []


def test_every_living_parent_is_noted_once_quotes_and_all(connection: duckdb.DuckDBPyConnection, store: Any) -> None:
    ledger = Ledger(connection, ACCOUNT)
    store("customers", {"id": "cus_1"}, {"id": "cus_'2"}, {"id": 'cus_"3'})
    store("customers", {"id": "cus_4"}, account_id="acct_2")
    connection.execute("update stripe.customers set _deleted_at = now() where id = 'cus_1'")
    for _ in range(2):
        assert ledger.begin_children(METHODS, now=BEGAN.timestamp(), since=None) == 2
    notes, left = ledger.pending(METHODS, "children", after=-1, most=10)
    assert ({note.object_id for note in notes}, len(notes), left) == ({"cus_'2", 'cus_"3'}, 2, 2)
    assert len(ledger.slices(METHODS)) == 1, "a later run must know that the parents have been noted"


def test_notes_are_read_in_portions_and_counted_to_the_end(connection: duckdb.DuckDBPyConnection) -> None:
    """A million notes are rows on disk, a few hundred of them in memory."""
    ledger = Ledger(connection, ACCOUNT)
    ledger.pend_children(LINES, "select 'in_' || i as parent_id, 'il_' || i as cursor from range(5) t(i) order by i")
    first, left = ledger.pending(LINES, "children", after=-1, most=3)
    assert ([(note.object_id, note.cursor) for note in first], left) == ([("in_0", "il_0"), ("in_1", "il_1"), ("in_2", "il_2")], 5)
    rest, left = ledger.pending(LINES, "children", after=first[-1].number or 0, most=3)
    assert ([note.object_id for note in rest], left) == (["in_3", "in_4"], 2)
    assert ledger.kinds_pending() == {("invoice_lines", "children")}


def test_answered_notes_are_struck_out_and_partly_answered_ones_move_on(connection: duckdb.DuckDBPyConnection) -> None:
    ledger = Ledger(connection, ACCOUNT)
    ledger.pend_children(LINES, "select 'in_' || i as parent_id, 'il_' || i as cursor from range(3) t(i) order by i")
    zero, one, two = ledger.pending(LINES, "children", after=-1, most=3)[0]
    assert zero.number is not None and one.number is not None
    ledger.answered(
        [
            PendingProgress(zero.number, LINES, "children", "in_0"),
            PendingProgress(one.number, LINES, "children", "in_1", "il_x", done=False),
            PendingProgress(None, LINES, "children", "in_2"),  # asked before its note was stored
        ]
    )
    assert ledger.pending(LINES, "children", after=-1, most=3) == ([Pending(one.number, "in_1", "il_x")], 1)
    assert two.number is not None


def test_newer_note_about_a_parent_replaces_the_older(connection: duckdb.DuckDBPyConnection) -> None:
    ledger = Ledger(connection, ACCOUNT)
    for cursor in ("il_1", "il_2"):
        ledger.pend_children(LINES, f"select 'in_1' as parent_id, '{cursor}' as cursor")
    notes, _ = ledger.pending(LINES, "children", after=-1, most=9)
    assert [(note.object_id, note.cursor) for note in notes] == [("in_1", "il_2")]


def test_what_may_change_without_an_event_is_noted_to_be_read_again(connection: duckdb.DuckDBPyConnection, store: Any) -> None:
    """An open checkout session is completed without an event; a complete one stays as it is."""
    ledger, sessions = Ledger(connection, ACCOUNT), CATALOG["checkout_sessions"]
    described = [("cs_1", "complete", 100), ("cs_2", "open", 100), ("cs_3", "open", 500), ("cs_4", "open", 400)]
    for name, status, read_at in described:
        store("checkout_sessions", {"id": name, "created": 10, "status": status}, read_at=read_at)
    store("checkout_sessions", {"id": "cs_5", "created": 5, "status": "open"}, account_id="acct_2")
    for _ in range(2):
        ledger.pend_open(sessions, now=600.0, read_before=450.0, payloads_at=None)
    assert {note.object_id for note in ledger.pending(sessions, "open", after=-1, most=9)[0]} == {"cs_2", "cs_4"}
    ledger.pend_open(sessions, now=600.0, read_before=450.0, payloads_at=500.0)
    assert {note.object_id for note in ledger.pending(sessions, "open", after=-1, most=9)[0]} == {"cs_2", "cs_3", "cs_4"}
    ledger.pend_open(CHARGES, now=600.0, read_before=450.0, payloads_at=None)
    assert ledger.pending(CHARGES, "open", after=-1, most=9) == ([], 0)


def test_what_was_read_since_it_was_noted_need_not_be_asked_for(connection: duckdb.DuckDBPyConnection, store: Any) -> None:
    """A page of a list has brought it; what was read before the note has not seen what the note is about."""
    ledger, sessions = Ledger(connection, ACCOUNT), CATALOG["checkout_sessions"]
    store("checkout_sessions", *({"id": name, "created": 10, "status": "open"} for name in ("cs_1", "cs_2")), read_at=100.0)
    ledger.pend_open(sessions, now=600.0, read_before=450.0, payloads_at=None)
    store("checkout_sessions", {"id": "cs_1", "created": 10, "status": "open"}, read_at=601.0)
    ledger.strike_read(sessions)
    assert [note.object_id for note in ledger.pending(sessions, "open", after=-1, most=9)[0]] == ["cs_2"]


def test_dead_letters_are_kept_until_their_requests_are_made_again(connection: duckdb.DuckDBPyConnection) -> None:
    ledger = Ledger(connection, ACCOUNT)
    error = Rejected("GET /v1/charges: no 'way'", path="/v1/charges", request_id="req_1")
    ledger.bury(CHARGES, error, {"limit": 100, "starting_after": "ch_'1"}, attempts=8)
    ledger.bury(CUSTOMERS, error, {}, attempts=1)
    (letter,) = connection.execute("select * exclude (failed_at) from stripe_sync.dead_letters where type = 'charges'").fetchall()
    params = {"limit": 100, "starting_after": "ch_'1"}
    assert (*letter[:3], msgspec.json.decode(letter[3]), *letter[4:]) == (
        ACCOUNT, "charges", "/v1/charges", params, "GET /v1/charges: no 'way'", "req_1", 8,
    )  # fmt: skip
    ledger.forget_dead_letters([CHARGES], begun=())
    assert connection.execute("select type from stripe_sync.dead_letters").fetchall() == [("customers",)]


def test_unreadable_objects_are_told_of_until_their_type_is_read_from_the_start(connection: duckdb.DuckDBPyConnection) -> None:
    """No request can be driven again for them, so that no run may forget them silently."""
    ledger = Ledger(connection, ACCOUNT)
    ledger.bury_unreadable(CHARGES, ["{}", '{"object":"charge","billing_details":{"email":"secret@example.com"}}'])
    ledger.forget_dead_letters([CHARGES], begun=())
    told = ledger.unreadable()
    assert told.keys() == {"charges"}
    assert "/v1/charges" in told["charges"] and "2 such" in told["charges"]
    assert connection.execute("select count(*) from stripe_sync.dead_letters where reason like '%secret%'").fetchall() == [(0,)]
    ledger.forget_dead_letters([CHARGES], begun=["charges"])
    assert ledger.unreadable() == {}


def test_run_is_entered_at_its_beginning_and_its_end(connection: duckdb.DuckDBPyConnection) -> None:
    """The next one reads nothing that is dated before the books; that this one was killed is seen when the file is prepared."""
    ledger = Ledger(connection, ACCOUNT)
    assert ledger.begin_run("run_1") == 0.0
    begin(ledger, CHARGES)
    assert ledger.begin_run("run_2") == BEGAN.timestamp()
    misfit = Misfit("amount", MISFIT, 2, "ch_1")
    result = TypeResult("charges", "failed", 7, 3, 1.5, "why", "req_1", (misfit,))
    ledger.end_run("run_2", [result], state="partial", requests=3, throttled=1, seconds=2.0, details={"a": 1})
    runs = connection.execute(
        "select run_id, account_id, state, requests, objects, throttled, ended_at is null from stripe_sync.runs order by 1"
    ).fetchall()
    assert runs == [("run_1", ACCOUNT, "running", None, None, None, True), ("run_2", ACCOUNT, "partial", 3, 7, 1, False)]
    ((*entry, misfits),) = connection.execute("select * from stripe_sync.run_types").fetchall()
    assert entry == ["run_2", ACCOUNT, "charges", "failed", 7, 3, 1.5, "why", "req_1"]
    assert json.loads(misfits) == [asdict(misfit)]


def test_what_belongs_to_parents_that_have_not_answered_is_not_taken_for_gone(connection: duckdb.DuckDBPyConnection, store: Any) -> None:
    """One customer's list is refused: that says nothing about what is known of it; the others' lists were read."""
    ledger, began = Ledger(connection, ACCOUNT), BEGAN.timestamp()
    begin(ledger, METHODS)
    store("customers", {"id": "cus_1"}, {"id": "cus_2"}, {"id": "cus_3"})
    ledger.begin_children(METHODS, now=began, since=None)
    store(METHODS.name, *({"id": f"ccsbtxn_{number}", "customer": f"cus_{number}"} for number in (1, 2, 3)), read_at=began - 1)
    notes = {note.object_id: note.number for note in ledger.pending(METHODS, "children", after=-1, most=9)[0]}
    answered = PendingProgress(notes["cus_1"], METHODS, "children", "cus_1")
    absent = PendingProgress(notes["cus_2"], METHODS, "children", "cus_2", missing=True)
    ledger.answered([answered, absent])
    ledger.finish(METHODS, created_from=None, whole=True, at=NOW)
    gone = f"select id from stripe.{METHODS.name} where _deleted_at is not null"
    assert connection.execute(gone).fetchall() == [("ccsbtxn_1",)]
    assert ledger.kinds_pending() == {(METHODS.name, "children")}, "who has not answered is asked again"


def test_what_was_not_asked_for_is_spared(connection: duckdb.DuckDBPyConnection, store: Any) -> None:
    """Customers of a test clock that could not be asked."""
    ledger, began = Ledger(connection, ACCOUNT), BEGAN.timestamp()
    begin(ledger, CUSTOMERS)
    store("customers", {"id": "cus_1"}, {"id": "cus_2", "test_clock": "clock_1"}, read_at=began - 1)
    ledger.finish(CUSTOMERS, created_from=None, whole=True, at=NOW, spare="test_clock")
    assert connection.execute("select id from stripe.customers where _deleted_at is not null").fetchall() == [("cus_1",)]


def test_what_a_list_leaves_out_is_noted_to_be_read_by_its_id(connection: duckdb.DuckDBPyConnection, store: Any) -> None:
    ledger, began, reviews = Ledger(connection, ACCOUNT), BEGAN.timestamp(), CATALOG["reviews"]
    begin(ledger, reviews)
    store("reviews", {"id": "prv_1"}, read_at=began - 1)
    store("reviews", {"id": "prv_2"}, read_at=began + 1)
    for _ in range(2):
        ledger.finish(reviews, created_from=None, whole=True, at=NOW)
    assert connection.execute("select count(*) from stripe.reviews where _deleted_at is not null").fetchall() == [(0,)]
    assert [note.object_id for note in ledger.pending(reviews, "object", after=-1, most=9)[0]] == ["prv_1"]


def test_news_below_parents_are_asked_for_from_the_newest_known_of_each_on(connection: duckdb.DuckDBPyConnection, store: Any) -> None:
    """A third one is new: others' transactions are no measure for its own. And who has not answered keeps the note that reaches back."""
    ledger, transactions = Ledger(connection, ACCOUNT), CATALOG["treasury_transactions"]
    store("treasury_financial_accounts", {"id": "fa_1"}, {"id": "fa_2"}, {"id": "fa_3"})
    begin(ledger, transactions, since=100)

    def happen(owner: str, *moments: int) -> None:
        store(transactions.name, *({"id": f"trxn_{owner}_{at}", "created": at, "financial_account": owner} for at in moments))

    def asked() -> dict[str, Any]:
        return {note.object_id: note.further["created[gte]"] for note in ledger.pending(transactions, "children", after=-1, most=9)[0]}

    happen("fa_1", 1000, 500)
    happen("fa_2", 30)
    ledger.pend_news(transactions, now=2000.0)
    assert asked() == {"fa_1": "940", "fa_2": "0", "fa_3": "100"}
    for note in ledger.pending(transactions, "children", after=-1, most=9)[0]:
        if note.object_id != "fa_2":
            ledger.answered([PendingProgress(note.number, transactions, "children", note.object_id)])
    happen("fa_1", 5000, 3000)
    happen("fa_2", 4000)
    ledger.pend_news(transactions, now=6000.0)
    assert asked() == {"fa_1": "4940", "fa_2": "0", "fa_3": "100"}


def test_each_time_that_a_list_is_read_has_slices_of_its_own(connection: duckdb.DuckDBPyConnection) -> None:
    """Active prices and archived ones: done with one is not done with the other."""
    ledger = Ledger(connection, ACCOUNT)
    ledger.save_slices(CHARGES, [SliceProgress((SliceRange(0),), 0, "a", True), SliceProgress((SliceRange(0),), 0, "b", False, part=1)])
    ledger.save_slices(CHARGES, [SliceProgress((SliceRange(0, 5), SliceRange(1, None, 5)), 0, "c", False, part=1)])
    assert ledger.slices(CHARGES) == [
        StoredSlice(SliceRange(0), "a", True),
        StoredSlice(SliceRange(0, 5), "c", False, 1),
        StoredSlice(SliceRange(1, None, 5), None, False, 1),
    ]


def test_open_may_mean_that_something_is_not_there_yet(connection: duckdb.DuckDBPyConnection, store: Any) -> None:
    """As an invoice item is open while it is on no invoice."""
    ledger, sessions = Ledger(connection, ACCOUNT), replace(CATALOG["checkout_sessions"], open={"invoice": ()})
    described = [{"id": "cs_1", "created": 10, "invoice": "in_1"}, {"id": "cs_2", "created": 20, "invoice": None}]
    store("checkout_sessions", *described, read_at=100.0)
    ledger.pend_open(sessions, now=600.0, read_before=450.0, payloads_at=None)
    assert [note.object_id for note in ledger.pending(sessions, "open", after=-1, most=9)[0]] == ["cs_2"]
