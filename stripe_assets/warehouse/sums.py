"""Adds up the mirror's money, by currency and by payout: integers in minor units, never across currencies.

Nothing is written. What must add up to what stands in `catalog.money`; the balance itself is asked for by `sync.money`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import duckdb

from stripe_assets.catalog.money import MAIN, PAID_OUT, PAYOUTS, SETTLED, TRANSACTIONS
from stripe_assets.catalog.types import Catalog
from stripe_assets.warehouse.samples import living
from stripe_assets.warehouse.tables import literal, quoted


@dataclass(frozen=True, slots=True)
class PayoutApart:
    """A payout of `amount` that does not agree with its transactions: `added_up` is what those say, none if there are none."""

    id: str
    currency: str
    amount: int
    added_up: int | None
    of: str


def held(connection: duckdb.DuckDBPyConnection, catalog: Catalog, *, account_id: str) -> dict[str, int]:
    """Add up what all transactions leave in the account, by currency."""
    rows = connection.execute(
        f"select currency, sum(net)::bigint from {living(catalog[TRANSACTIONS], account_id)} "
        f"and coalesce(balance_type, {literal(MAIN)}) = {literal(MAIN)} group by 1"
    ).fetchall()
    return dict(rows)


def known(connection: duckdb.DuckDBPyConnection, catalog: Catalog, ids: Iterable[str], *, account_id: str) -> set[str]:
    """Say which of these transactions the mirror has."""
    rows = connection.execute(
        f"select id from {living(catalog[TRANSACTIONS], account_id)} and id in (select unnest(?::varchar[]))", [list(ids)]
    ).fetchall()
    return {name for (name,) in rows}


def payouts_apart(connection: duckdb.DuckDBPyConnection, catalog: Catalog, *, account_id: str) -> tuple[int, list[PayoutApart]]:
    """Hold every automatic payout that Stripe has settled against the sum of its transactions; give how many these are.

    The payout's own transaction, which may be among them, takes its amount out of the balance again and is left out.
    """
    inside = catalog[PAID_OUT]
    assert inside.parent is not None
    settled = f"{living(catalog[PAYOUTS], account_id)} and automatic and reconciliation_status = {literal(SETTLED)}"
    rows = connection.execute(f"""
        with payouts as (select id, currency, amount from {settled}),
        parts as (select {quoted(inside.parent.column)} as payout, currency, source, net from {living(inside, account_id)}),
        added as (
          select p.id, p.currency, p.amount, sum(t.net) filter (t.currency = p.currency)::bigint as added_up,
            count(*) filter (t.currency <> p.currency) as strangers
          from payouts p left join parts t on t.payout = p.id and t.source is distinct from p.id group by all)
        select id, currency, amount, added_up, 'its transactions' || case when strangers > 0 then ', some of another currency' else '' end
        from added where added_up is distinct from amount or strangers > 0 order by id
    """).fetchall()
    ((count,),) = connection.execute(f"select count(*) from {settled}").fetchall()
    return int(count), [PayoutApart(*row) for row in rows]


def own_transactions_apart(connection: duckdb.DuckDBPyConnection, catalog: Catalog, *, account_id: str) -> list[PayoutApart]:
    """Find the payouts whose own transaction does not take out of the balance what they say."""
    rows = connection.execute(f"""
        with payouts as (select id, currency, amount, balance_transaction from {living(catalog[PAYOUTS], account_id)}),
        transactions as (select id, currency, amount from {living(catalog[TRANSACTIONS], account_id)})
        select p.id, p.currency, p.amount, -t.amount, 'its own transaction'
        from payouts p join transactions t on t.id = p.balance_transaction
        where t.currency = p.currency and t.amount <> -p.amount order by 1
    """).fetchall()
    return [PayoutApart(*row) for row in rows]
