"""No child without its parent, and no list that is cut short: seen in the mirror alone."""

from pathlib import Path

import pytest
from equality import rows
from mirroring import NOW, World
from proving import Synced, damage

from stripe_assets.catalog.types import load
from stripe_assets.simulator.account import Account
from stripe_assets.warehouse.database import Database
from stripe_assets.warehouse.kinship import CUT, NO_PARENT, NOT_THERE, Kinship, is_knowable, kinship

STORY = {"seed": 5, "customers": 8, "months": 6, "now": NOW}
LINES = 12


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Synced:
    here = Synced(STORY, tmp_path_factory.mktemp("kinship") / "stripe.duckdb")
    account = Account(**STORY)
    account.bill(account.objects("customer")[0]["id"], lines=LINES)
    assert World(here.database, account).sync(["invoice_lines", "customer_tax_ids"]).complete
    return here


@pytest.fixture
def database(first: Synced, tmp_path: Path) -> Path:
    return first.copy(tmp_path / "stripe.duckdb").database


def look(database: Path, name: str = "invoice_lines") -> Kinship:
    with Database(database).open(read_only=True) as connection:
        return kinship(connection, load(), load()[name])


def test_children_of_a_mirror_have_their_parents(database: Path) -> None:
    found = look(database)
    assert (found.wrong, found.examples, found.accounts) == ({}, (), 1)
    assert found.children >= LINES
    assert found.lists == len(rows(database, "select 1 from stripe.invoices"))
    assert look(database, "customer_tax_ids").wrong == {}


@pytest.mark.parametrize(
    "statement", ["delete from stripe.invoices where id = {}", "update stripe.invoices set _deleted_at = now() where id = {}"]
)
def test_child_without_its_parent_is_named(database: Path, statement: str) -> None:
    child, parent = rows(database, "select id, invoice from stripe.invoice_lines order by id limit 1")[0]
    damage(database, statement.format(f"'{parent}'"))
    found = look(database)
    assert found.wrong.keys() == {NO_PARENT}
    assert (child, parent, NO_PARENT) in {(one.id, one.parent_id, one.wrong) for one in found.examples}


def test_child_that_its_parent_names_and_the_mirror_lacks_is_named(database: Path) -> None:
    named = "select l.id, l.invoice from stripe.invoice_lines l join stripe.invoices i on i.id = l.invoice"
    child, parent = rows(database, f"{named} where not json_extract(i.lines, '$.has_more')::boolean order by 1 limit 1")[0]
    damage(database, f"delete from stripe.invoice_lines where id = '{child}'")
    found = look(database)
    assert found.wrong[NOT_THERE] == 1
    assert (child, parent, NOT_THERE) in {(one.id, one.parent_id, one.wrong) for one in found.examples}


def test_list_that_goes_on_in_stripe_and_not_in_the_mirror_is_cut(database: Path) -> None:
    """The hole of most other mirrors: the first ten lines, and no more."""
    (parent,) = rows(database, "select id from stripe.invoices where json_extract(lines, '$.has_more')::boolean")[0]
    shown = f"select unnest(json_extract_string(lines, '$.data[*].id')) from stripe.invoices where id = '{parent}'"
    lost = damage(database, f"delete from stripe.invoice_lines where invoice = '{parent}' and id not in ({shown}) returning id")
    assert len(lost) == LINES - 10
    found = look(database)
    assert [(one.id, one.wrong) for one in found.examples] == [(parent, CUT)]
    damage(
        database,
        "insert into stripe_sync.pending (account_id, type, purpose, object_id) "
        f"select _account_id, 'invoice_lines', 'children', id from stripe.invoices where id = '{parent}'",
    )
    assert look(database).wrong == {}, "a sync still has to ask for the rest"


def test_types_that_are_not_whole_are_not_looked_at(database: Path) -> None:
    damage(database, "update stripe_sync.checkpoints set since = 1 where type = 'invoices'")
    damage(database, "delete from stripe.invoices")
    found = look(database)
    assert (found.accounts, found.children, found.wrong) == (0, 0, {})


def test_rows_that_do_not_name_their_parents_are_left_alone() -> None:
    """What payments were taxed by is named by the calculation, not by the payment that the calculation was found with."""
    assert not is_knowable(load()["tax_calculation_line_items"])
    assert not is_knowable(load()["customers"])
    assert is_knowable(load()["invoice_lines"])
