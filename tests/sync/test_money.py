"""Money adds up: what transactions leave is what the balance says, and a payout is what went into it."""

from pathlib import Path

import pytest
from equality import rows
from mirroring import NOW, World
from proving import Synced, added_up, damage

from stripe_assets.simulator.account import Account
from stripe_assets.sync.money import BEGINS_LATE, PAGES, TOO_MANY
from stripe_assets.sync.verdicts import NOT_WHOLE

TYPES = ("balance_transactions", "payouts", "payout_balance_transactions")
STORY = {"seed": 5, "customers": 40, "months": 12, "now": NOW}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Synced:
    here = Synced(STORY, tmp_path_factory.mktemp("money") / "stripe.duckdb")
    assert World(here.database, Account(**STORY)).sync(TYPES).complete
    return here


@pytest.fixture
def synced(first: Synced, tmp_path: Path) -> World:
    return first.copy(tmp_path / "stripe.duckdb")


def test_transactions_add_up_to_the_balance_in_every_currency(synced: World) -> None:
    """In minor units, each by itself: a sum of dollars and yen is nothing."""
    proof = added_up(synced)
    balance = synced.account.balance()
    expected = {
        each["currency"]: each["amount"] + other["amount"] for each, other in zip(balance["available"], balance["pending"], strict=True)
    }
    assert {line.currency: line.added_up for line in proof.lines} == {line.currency: line.balance for line in proof.lines} == expected
    assert len([amount for amount in expected.values() if amount]) >= 2, "nothing would add up to nothing"
    assert proof.passed
    assert (proof.unproven, proof.apart) == ((), ())
    assert 0 < proof.payouts <= len(synced.account.objects("payout"))
    assert proof.requests == 4  # whose account, its newest event, its balance, and what is newer


def test_transaction_that_was_lost_is_missing_in_its_currency(synced: World) -> None:
    ((net,),) = damage(
        synced.database,
        "delete from stripe.balance_transactions where id = (select id from stripe.balance_transactions where currency = 'usd' "
        "and type = 'charge' order by created limit 1) returning net",
    )
    proof = added_up(synced)
    assert not proof.passed
    assert [(line.currency, line.balance - line.added_up) for line in proof.lines if not line.agrees] == [("usd", net)]


def test_money_that_came_since_the_sync_is_added(synced: World) -> None:
    synced.account.bill(synced.account.objects("customer")[0]["id"], lines=1, currency="eur")
    proof = added_up(synced)
    assert proof.passed
    assert [line.currency for line in proof.lines if line.newer > 0] == ["eur"]


def test_payout_that_is_not_what_went_into_it_is_named(synced: World) -> None:
    cut, amount, currency = rows(synced.database, "select id, amount, currency from stripe.payouts order by created limit 1")[0]
    damage(synced.database, f"update stripe.payouts set amount = amount - 1 where id = '{cut}'")
    proof = added_up(synced)
    assert not proof.passed
    assert all(line.agrees for line in proof.lines)
    found = [(one.id, one.currency, one.amount, one.added_up, one.of) for one in proof.apart]
    assert found == [(cut, currency, amount - 1, amount, of) for of in ("its transactions", "its own transaction")]


def test_payout_without_its_transactions_is_named(synced: World) -> None:
    (cut,) = rows(synced.database, "select id from stripe.payouts order by created limit 1")[0]
    damage(synced.database, f"delete from stripe.payout_balance_transactions where payout_id = '{cut}'")
    assert [(one.id, one.added_up) for one in added_up(synced).apart] == [(cut, None)]


def test_transaction_of_another_currency_in_a_payout_is_told_and_not_added(synced: World) -> None:
    query = "select p.id, p.amount, t.id, t.net from stripe.payouts p join stripe.payout_balance_transactions t on t.payout_id = p.id"
    payout, amount, strange, net = rows(synced.database, f"{query} where p.currency = 'usd' order by p.created, t.id limit 1")[0]
    damage(synced.database, f"insert into stripe.payout_balance_transactions select * replace ('zz' as id, 'jpy' as currency) "
                            f"from stripe.payout_balance_transactions where id = '{strange}'")  # fmt: skip
    (found,) = added_up(synced).apart
    assert net
    assert (found.id, found.amount, found.added_up, found.of) == (payout, amount, amount, "its transactions, some of another currency")


def test_payouts_own_transaction_among_the_others_changes_nothing(synced: World) -> None:
    """Stripe lists it with them, with the amount that it takes out of the balance."""
    damage(
        synced.database,
        "insert into stripe.payout_balance_transactions by name select t.*, p.id as payout_id "
        "from stripe.balance_transactions t join stripe.payouts p on p.balance_transaction = t.id",
    )
    assert added_up(synced).passed


def test_mirror_that_begins_at_a_time_is_not_added_up(tmp_path: Path) -> None:
    here = World(tmp_path / "stripe.duckdb", Account(**STORY))
    here.sync(["balance_transactions"], since=NOW - 30 * 86_400)
    proof = added_up(here)
    assert (proof.lines, proof.payouts) == ((), 0)
    assert proof.unproven == (f"balance_transactions: {BEGINS_LATE}", f"payouts: {NOT_WHOLE}")


def test_mirror_that_is_far_behind_is_not_added_up(synced: World) -> None:
    """Nor read on for ever."""
    damage(synced.database, "delete from stripe.balance_transactions")
    damage(synced.database, "update stripe_sync.checkpoints set created_from = 0 where type = 'balance_transactions'")
    for customer in synced.account.objects("customer") * 6:
        synced.account.bill(customer["id"], lines=1)
    proof = added_up(synced)
    assert proof.unproven == (f"balance: {TOO_MANY}",)
    assert len(synced.asked("/v1/balance_transactions")) == PAGES
