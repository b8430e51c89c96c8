"""Facts that a proof needs are about what there is: a name that is wrong would excuse nothing, or everything."""

from stripe_assets.catalog import money
from stripe_assets.catalog.passing import PASSING, passing
from stripe_assets.catalog.types import load


def test_passing_fields_are_columns_of_mirrored_objects() -> None:
    for name, fields in PASSING.items():
        kind = load().of_object(name)
        assert kind is not None, name
        assert fields <= {column.name for column in kind.columns}
        assert passing(kind.objects) >= fields


def test_types_without_passing_fields_have_none() -> None:
    assert passing(load()["customers"].objects) == frozenset()


def test_money_is_where_the_catalog_says() -> None:
    catalog = load()
    inside = catalog[money.PAID_OUT]
    assert inside.parent is not None and inside.parent.type == money.PAYOUTS
    assert inside.path == catalog[money.TRANSACTIONS].path
    assert all(catalog[money.BALANCE].has(name) for name in money.HELD)
    assert all(catalog[name].has(column) for name in (money.TRANSACTIONS, money.PAID_OUT) for column in ("net", "currency", "source"))
    assert catalog[money.PAYOUTS].has("reconciliation_status")
