"""The models, built on a simulated account, say what the simulator knows to be true."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import TYPE_CHECKING

from stripe_assets.catalog.types import load

if TYPE_CHECKING:
    from stripe_assets.simulator.account import Account
    from tests.dbt.conftest import Built


def test_build_passes_on_a_simulated_account(built: Built) -> None:
    """Every model, seed, data test and unit test: nothing fails, warns or is skipped."""
    assert built.unsuccessful == {}, built.output
    assert len(built.statuses) > 100, "dbt skipped a part of the project"


def test_build_passes_on_an_empty_mirror(build_of: Callable[..., Built]) -> None:
    """Before the first sync, and for an account that has nothing, the marts are empty tables and no errors."""
    empty = build_of({}, "--select", "+marts", "--exclude", "test_type:unit")
    assert empty.unsuccessful == {}, empty.output
    assert empty.rows("select (select count(*) from marts.revenue_daily), (select count(*) from marts.mrr_monthly)") == [(0, 0)]


def test_build_uses_the_promised_schemas(built: Built) -> None:
    """People query `marts.revenue_daily`; dbt by itself would put the target's name before the schema."""
    schemas = built.rows("select distinct table_schema from information_schema.tables where table_schema not like 'stripe%' order by 1")
    assert schemas == [("intermediate",), ("marts",), ("staging",)]
    staged = built.rows("select table_name from information_schema.tables where table_schema = 'staging' and table_type = 'VIEW'")
    assert {name for (name,) in staged} == {f"stg_stripe__{name}" for name in load().names}


def test_default_file_is_the_one_of_the_folder_that_dbt_is_called_from(built_by_default: Built) -> None:
    """Plain `dbt build --project-dir dbt` finds `data/stripe.duckdb`, the file that a sync without configuration has made."""
    units = built_by_default.rows("select minor_units from staging.currencies where currency in ('jpy', 'kwd', 'usd') order by 1")
    assert units == [(0,), (2,), (3,)], built_by_default.output


def test_revenue_daily_is_what_was_earned(account: Account, built: Built) -> None:
    """Every day, currency and figure, to the last minor unit."""
    rows = built.rows(
        "select revenue_on, currency, gross_minor, refunds_minor, disputes_minor, fees_minor, net_minor, other_adjustments_minor "
        "from marts.revenue_daily"
    )
    truth = {key: (*revenue, 0) for key, revenue in account.truth().revenue_daily.items()}
    assert {(day.isoformat(), currency): tuple(figures) for day, currency, *figures in rows} == truth
    totals = [sum(figures) for figures in zip(*truth.values(), strict=True)]
    assert all(totals[:5]), "the account has no example of one of the figures"


def test_revenue_daily_in_major_units(built: Built) -> None:
    """Yen have no decimals, dinars three: a plain division by 100 is wrong for both."""
    worth = built.rows("select currency, sum(net_minor), sum(net) from marts.revenue_daily group by 1")
    assert {currency: minor / major for currency, minor, major in worth} == {"usd": 100, "eur": 100, "gbp": 100, "jpy": 1, "kwd": 1000}


def test_balance_is_what_payouts_left(account: Account, built: Built) -> None:
    """The transactions do not name their payout, so they are reconciled as a whole: all of them add up to the balance."""
    rows = built.rows("select status, currency, sum(net_minor) from staging.stg_stripe__balance_transactions group by all")
    balance = account.balance()
    held = {(status, each["currency"]): each["amount"] for status in ("available", "pending") for each in balance[status] if each["amount"]}
    assert {(status, currency): int(net) for status, currency, net in rows if net} == held


def movements(account: Account) -> Iterator[tuple[date, str, str, tuple[float, ...]]]:
    """Give what `mrr_monthly` ought to hold, from the simulator's knowledge alone, in minor units to four decimals."""
    truth = account.truth()
    before: dict[tuple[str, str], Fraction] = {}
    seen: set[tuple[str, str]] = set()
    for end in [*truth.month_ends, truth.now]:
        month = datetime.fromtimestamp(end - 1, UTC).date().replace(day=1)
        mrr = truth.mrr(end)
        for key in mrr.keys() | before.keys():
            had, has = before.get(key, Fraction(0)), mrr.get(key, Fraction(0))
            new = has if not had and key not in seen else Fraction(0)
            reactivated = has if not had and key in seen else Fraction(0)
            grown = has - had if had and has > had else Fraction(0)
            shrunk = had - has if has and has < had else Fraction(0)
            churned = had if not has else Fraction(0)
            yield month, *key, tuple(round(float(each), 4) for each in (has, had, new, reactivated, grown, shrunk, churned))
        seen |= mrr.keys()
        before = mrr


def test_mrr_monthly_is_what_subscriptions_were_worth(account: Account, built: Built) -> None:
    """Every month, customer and currency, with all movements: new, reactivated, expanded, contracted, churned."""
    columns = ("mrr", "previous_mrr", "new_mrr", "reactivated_mrr", "expansion_mrr", "contraction_mrr", "churned_mrr")
    scale = "case currency when 'jpy' then 1 when 'kwd' then 1000 else 100 end"
    chosen = ", ".join(f"round(cast({column} as double) * {scale}, 4)" for column in columns)
    rows = built.rows(f"select month_on, customer_id, currency, {chosen} from marts.mrr_monthly")
    truth = {(month, customer, currency): figures for month, customer, currency, figures in movements(account)}
    assert {(month, customer, currency): tuple(figures) for month, customer, currency, *figures in rows} == truth
    examples = [sum(1 for figures in truth.values() if figures[column]) for column in range(7)]
    assert all(examples), f"the account has no example of one of {dict(zip(columns, examples, strict=True))}"


def test_only_the_running_month_is_incomplete(account: Account, built: Built) -> None:
    """A dashboard must not compare a month of twenty days with whole ones."""
    months = built.rows("select distinct month_on, is_complete_month from marts.mrr_monthly where not is_complete_month")
    assert months == [(datetime.fromtimestamp(account.now, UTC).date().replace(day=1), False)]


def test_what_no_rule_knows_fails_the_build_before_the_mart(build_of: Callable[..., Built]) -> None:
    """A new category or currency of Stripe's must stop the mart rather than vanish from it or be converted wrongly."""
    transaction = {
        "id": "txn_1", "created": 1_795_000_000, "available_on": 1_795_000_000, "currency": "usd", "status": "available",
        "amount": 1000, "fee": 59, "net": 941, "type": "charge", "reporting_category": "charge",
    }  # fmt: skip
    strange = {"balance_transactions": [transaction, {**transaction, "id": "txn_2", "reporting_category": "brand_new"}]}
    failed = build_of(strange, "--select", "+revenue_daily", "--exclude", "test_type:unit").unsuccessful
    assert {name.split(".")[2]: status for name, status in failed.items() if status != "skipped"} == {
        "every_reporting_category_is_known": "fail"
    }
    assert "model.stripe_assets.revenue_daily" in failed
