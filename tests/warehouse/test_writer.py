"""Rows and the progress that speaks for them are written together or not at all."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import virtual_time

from stripe_assets.catalog.types import Catalog, load
from stripe_assets.errors import WarehouseError
from stripe_assets.queues.channel import ChannelClosed
from stripe_assets.warehouse import writer as module
from stripe_assets.warehouse.database import Database
from stripe_assets.warehouse.deliveries import Delivery, Gone, ListDone, Objects, PendingProgress, SliceProgress, SliceRange
from stripe_assets.warehouse.ledger import Ledger
from stripe_assets.warehouse.writer import Writer

ACCOUNT = "acct_1"
NAMES = ("customers", "customer_sources", "source_source_transactions", "invoices", "invoice_lines")
CATALOG = Catalog(load().api_version, [load()[name] for name in NAMES], load().event_types)
CUSTOMERS, SOURCES, TRANSACTIONS, INVOICES, LINES = (CATALOG[name] for name in NAMES)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    found = Database(tmp_path / "stripe.duckdb")
    found.prepare(CATALOG)
    return found


def raw(*things: dict[str, Any]) -> tuple[msgspec.Raw, ...]:
    return tuple(msgspec.Raw(msgspec.json.encode(thing)) for thing in things)


def page(*ids: str, cursor: str | None = None, done: bool = False, read_at: float = 1000.0) -> Objects:
    progress = SliceProgress((SliceRange(0),), 0, cursor, done)
    return Objects(CUSTOMERS, raw(*({"id": name, "created": 5} for name in ids)), read_at, progress)


def write(database: Database, talk: Callable[[Writer], Awaitable[None]], *, selected: frozenset[str] = frozenset(NAMES)) -> None:
    """Run a writer beside the one who talks to it, until both are through."""

    async def main() -> None:
        writer = Writer(database, CATALOG, account_id=ACCOUNT, selected=selected)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(writer.run())
                try:
                    await talk(writer)
                finally:
                    writer.channel.close()
        except* WarehouseError as group_of_one:
            raise group_of_one.exceptions[0] from group_of_one
        finally:
            writer.close()

    virtual_time.run(main())


def deliver(database: Database, *deliveries: Delivery, **options: Any) -> None:
    async def talk(writer: Writer) -> None:
        for delivery in deliveries:
            await writer.submit(delivery)

    write(database, talk, **options)


def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    with database.open() as connection:
        return connection.execute(query).fetchall()


def test_rows_and_their_progress_are_there_together(database: Database) -> None:
    deliver(database, page("cus_1", "cus_2", cursor="cus_2"))
    assert rows(database, "select id from stripe.customers order by 1") == [("cus_1",), ("cus_2",)]
    assert rows(database, "select cursor, done from stripe_sync.slices") == [("cus_2", False)]


def test_error_in_the_middle_of_a_chunk_leaves_neither_rows_nor_progress(database: Database) -> None:
    """A position without its rows is the loss that nobody notices."""
    deliver(database, page("cus_1", cursor="cus_1"))
    broken = Gone(CUSTOMERS, "cus_1", 1e30, PendingProgress(1, CUSTOMERS, "object", "cus_1"))  # no time: the database refuses it
    with pytest.raises(WarehouseError, match="what was stored before is intact"):
        deliver(database, page("cus_2", cursor="cus_2"), broken)
    assert rows(database, "select id from stripe.customers") == [("cus_1",)]
    assert rows(database, "select cursor from stripe_sync.slices") == [("cus_1",)]
    deliver(database, page("cus_2", cursor="cus_2", done=True))
    assert rows(database, "select cursor, done from stripe_sync.slices") == [("cus_2", True)]


def test_error_after_the_rows_were_written_takes_them_back(database: Database) -> None:
    async def talk(writer: Writer) -> None:
        def work(ledger: Ledger) -> None:
            ledger.save_slices(CUSTOMERS, [SliceProgress((SliceRange(0),), 0, "cus_9", done=True)])
            raise LookupError("in the middle")

        with pytest.raises(LookupError):
            await writer.books(work)

    write(database, talk)
    assert rows(database, "select count(*) from stripe_sync.slices") == [(0,)]


def test_everything_submitted_before_is_stored_once_flushed(database: Database) -> None:
    """Who goes on from what is stored must not wait until a chunk is full, nor see half of it."""
    seen: list[Any] = []

    async def talk(writer: Writer) -> None:
        for number in range(5):
            await writer.submit(page(f"cus_{number}"))
        await writer.flushed()
        seen.append(await writer.call(lambda connection: connection.execute("select count(*) from stripe.customers").fetchall()))
        await writer.flushed()  # with nothing more to store it returns at once

    write(database, talk)
    assert seen == [[(5,)]]


def test_closed_channel_lets_nothing_in_and_what_is_inside_is_stored(database: Database) -> None:
    async def talk(writer: Writer) -> None:
        await writer.submit(page("cus_1"))
        writer.channel.close()
        with pytest.raises(ChannelClosed):
            await writer.submit(page("cus_2"))

    write(database, talk)
    assert rows(database, "select id from stripe.customers") == [("cus_1",)]


def test_who_waits_for_the_next_chunk_is_woken_by_it_and_by_a_nudge(database: Database) -> None:
    async def talk(writer: Writer) -> None:
        waiting = asyncio.create_task(writer.next_chunk())
        await writer.submit(page("cus_1"))
        await waiting
        waiting = asyncio.create_task(writer.next_chunk())
        await asyncio.sleep(1)
        assert not waiting.done()
        writer.nudge()
        await waiting

    write(database, talk)


def test_reader_is_held_up_rather_than_memory_filled(database: Database) -> None:
    """64 MB may wait; who brings more waits until a chunk is stored."""
    big = "x" * (module.CAPACITY // 3)
    congested: list[bool] = []

    async def talk(writer: Writer) -> None:
        for number in range(2):
            await writer.submit(Objects(CUSTOMERS, raw({"id": f"cus_{number}", "description": big}), 1.0))
        congested.append(writer.congested)
        third = asyncio.create_task(writer.submit(Objects(CUSTOMERS, raw({"id": "cus_3", "description": big}), 1.0)))
        await asyncio.sleep(0)
        congested.append(third.done() and writer.channel.weight > module.CAPACITY)
        await third
        await writer.flushed()
        congested.append(writer.congested)

    write(database, talk)
    assert congested == [True, False, False]
    assert rows(database, "select count(*) from stripe.customers") == [(3,)]


def test_told_rows_are_the_committed_ones_of_the_selected_types(database: Database) -> None:
    told: list[tuple[str, int]] = []
    invoice = {"id": "in_1", "lines": {"data": [{"id": "il_1", "invoice": "in_1"}], "has_more": False}}

    async def main() -> None:
        writer = Writer(
            database, CATALOG, account_id=ACCOUNT, selected=frozenset(["invoices"]), on_rows=lambda name, count: told.append((name, count))
        )
        await writer.submit(Objects(INVOICES, raw(invoice), 1.0))
        writer.channel.close()
        await writer.run()
        writer.close()

    virtual_time.run(main())
    assert told == [("invoices", 1)]
    assert rows(database, "select count(*) from stripe.invoice_lines") == [(0,)]


def test_parents_bring_their_children_and_notes_of_those_they_do_not_show(database: Database) -> None:
    line = {"id": "il_1", "invoice": "in_1"}
    deliver(database, Objects(INVOICES, raw({"id": "in_1", "lines": {"data": [line], "has_more": True}}), 10.0))
    assert rows(database, "select id, invoice from stripe.invoice_lines") == [("il_1", "in_1")]
    note = rows(database, "select type, purpose, object_id, cursor, number from stripe_sync.pending")
    assert [row[:4] for row in note] == [("invoice_lines", "children", "in_1", "il_1")]
    rest = Objects(LINES, raw({"id": "il_2", "invoice": "in_1"}), 11.0, PendingProgress(note[0][4], LINES, "children", "in_1"), "in_1")
    deliver(database, rest)
    assert rows(database, "select id from stripe.invoice_lines where _deleted_at is null order by 1") == [("il_1",), ("il_2",)]
    assert rows(database, "select count(*) from stripe_sync.pending") == [(0,)]


def test_child_that_is_gone_from_a_list_too_long_to_be_shown_is_marked_when_its_end_was_read(database: Database) -> None:
    """The parent shows ten lines, and cannot tell that the fiftieth is gone: only the whole list can."""
    shown = {"id": "in_1", "lines": {"data": [{"id": "il_1", "invoice": "in_1"}], "has_more": True}}
    for read_at, others in ((10.0, ["il_2", "il_3"]), (20.0, ["il_3"])):
        deliver(database, Objects(INVOICES, raw(shown), read_at))
        ((number,),) = rows(database, "select number from stripe_sync.pending")
        for last in (False, True):
            progress = PendingProgress(number, LINES, "children", "in_1", others[-1], done=last)
            lines = raw(*({"id": name, "invoice": "in_1"} for name in others)) if last else ()
            deliver(database, Objects(LINES, lines, read_at + 1, progress, "in_1"))
    found = rows(database, "select id, _deleted_at is null from stripe.invoice_lines order by 1")
    assert found == [("il_1", True), ("il_2", False), ("il_3", True)]


def test_object_that_is_gone_is_marked_with_all_that_belongs_to_it_and_struck_out(database: Database) -> None:
    """No event tells of a customer's sources, nor of their transactions."""
    sources = Objects(SOURCES, raw({"id": "src_1", "customer": "cus_'1"}, {"id": "src_2", "customer": "cus_2"}), 1.0)
    transactions = Objects(TRANSACTIONS, raw({"id": "srctxn_1", "source": "src_1"}, {"id": "srctxn_2", "source": "src_2"}), 1.0)
    deliver(database, page("cus_'1", "cus_2"), sources, transactions)
    with database.open() as connection:
        connection.execute(
            f"insert into stripe_sync.pending (account_id, type, purpose, object_id) values ('{ACCOUNT}', 'customers', 'object', 'cus_''1')"
        )
    ((number,),) = rows(database, "select number from stripe_sync.pending")
    deliver(database, Gone(CUSTOMERS, "cus_'1", 2000.0, PendingProgress(number, CUSTOMERS, "object", "cus_'1")))
    for name in ("customers", "customer_sources", "source_source_transactions"):
        assert rows(database, f"select epoch(_deleted_at) from stripe.{name} order by id") == [(2000.0,), (None,)], name
    assert rows(database, "select count(*) from stripe_sync.pending") == [(0,)]


def test_end_of_a_list_counts_after_the_pages_before_it_in_the_same_chunk(database: Database) -> None:
    with database.open() as connection:
        ledger = Ledger(connection, ACCOUNT)
        began = connection.execute("select to_timestamp(500)").fetchone()
        assert began is not None
        ledger.begin_backfill([CUSTOMERS], now=began[0], events_from=1, since=None)
    deliver(database, page("cus_old", read_at=100.0))
    deliver(database, page("cus_1", done=True), ListDone(CUSTOMERS, 5, whole=True, at=2000.0))
    found = rows(database, "select id, _deleted_at is null from stripe.customers order by 1")
    assert found == [("cus_1", True), ("cus_old", False)]
    assert rows(database, "select state, created_from from stripe_sync.checkpoints") == [("complete", 5)]


def test_unreadable_object_costs_only_itself_and_is_told_of(database: Database) -> None:
    deliver(database, Objects(CUSTOMERS, (*raw({"id": "cus_1"}), msgspec.Raw(b'{"name":"nobody"}'), *raw({"id": "cus_2"})), 1.0))
    assert rows(database, "select id from stripe.customers order by 1") == [("cus_1",), ("cus_2",)]
    ((kind, reason, attempts),) = rows(database, "select type, reason, attempts from stripe_sync.dead_letters")
    assert (kind, attempts) == ("customers", 0)
    assert "no id" in reason


def test_many_small_chunks_take_no_more_room_than_their_rows(database: Database) -> None:
    """A night brings few rows to each table, a platform a few of each account: each would take a block of 256 kB per column for ever."""

    async def bring_forty_chunks(writer: Writer) -> None:
        for number in range(40):
            await writer.submit(page(f"cus_{number}"))
            await writer.flushed()

    before = database.path.stat().st_size
    write(database, bring_forty_chunks)
    assert rows(database, "select count(distinct row_group_id) from pragma_storage_info('stripe.customers')") == [(1,)]
    assert database.path.stat().st_size - before < 3_000_000
