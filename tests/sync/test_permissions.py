"""What one request a type tells of a key and an account, within the limits."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
import virtual_time
from mirroring import NOW
from sync.altered import Altered, failing, forbidden

from stripe_assets.catalog.types import Paging, load
from stripe_assets.errors import Refused, Unauthorized
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.http import Application, application
from stripe_assets.sync.permissions import Access, Example, Owner, TypeAccess, examining
from stripe_assets.sync.settings import Settings

CATALOG = load()
BELOW = "customer_balance_transactions"


class Listening:
    """Passes on to `app`, and keeps what was asked: path and parameters."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.append((scope["path"], dict(parse_qsl(scope["query_string"].decode()))))
        await self.app(scope, receive, send)


def simulated(**options: Any) -> Application:
    return application(Account(seed=3, customers=8, now=NOW), **options)


def examine(
    app: Any, examples: Mapping[str, Example] | None = None, *, key: str = "sk_test_simulator"
) -> tuple[Owner | Exception, dict[str, TypeAccess]]:
    """Ask whose key it is, and for each type."""
    settings = Settings(api_key=key, api_base="http://stripe.test")

    async def main() -> tuple[Owner | Exception, dict[str, TypeAccess]]:
        async with examining(settings, CATALOG, transport=httpx.ASGITransport(app)) as examiner:
            owner = await examiner.owner()
            return owner, {one.type: one for one in await examiner.types(examples or {})}

    return virtual_time.run(main())


def test_each_type_costs_one_request_for_one_object() -> None:
    """Of a list of a million objects, one tells whether it may be read."""
    app = Listening(simulated())
    owner, found = examine(app)
    assert isinstance(owner, Owner)
    assert (owner.id, owner.name) == (app.app.account.id, "Simulated")
    top = [kind for kind in CATALOG if kind.parent is None]
    assert {name for name, one in found.items() if one.access is Access.READABLE} == {kind.name for kind in top}
    assert sorted(path for path, _ in app.asked) == sorted(["/v1/account", *(kind.path for kind in top)])
    pageable = {kind.path for kind in top if kind.paging is not Paging.NONE}
    assert {params.get("limit") for path, params in app.asked if path in pageable} == {"1"}


def test_limit_is_kept() -> None:
    """A sandbox allows 25 a second: whoever looks while a sync runs must not make it slower than it is."""
    app = simulated(account_limit=25, endpoint_limit=25)
    examine(app)
    assert app.stats.total > 75
    assert not app.stats.throttled


def test_refusals_are_told_apart() -> None:
    """A permission can be given, a product need not be used, a fault may pass."""
    app = simulated(keys={"rk_test_1": {"charge", "account"}})
    app.switches.product("issuing", on=False)
    owner, found = examine(Altered(app, {"/v1/coupons": failing, "/v1/products": forbidden}), key="rk_test_1")
    assert isinstance(owner, Refused)
    assert (found["charges"].access, found["charges"].permission) == (Access.FORBIDDEN, "rak_charge_read")
    assert found["issuing_cards"].access is Access.UNUSED
    assert "not set up to use issuing" in (found["issuing_cards"].reason or "")
    assert (found["coupons"].access, found["coupons"].request_id is not None) == (Access.FAILED, True)
    assert "given up after 3 attempts" in (found["coupons"].reason or "")
    assert found["products"].access is Access.UNUSED
    assert found["customers"].access is Access.READABLE


@pytest.mark.parametrize(("customer", "access"), [("known", Access.READABLE), ("cus_gone", Access.UNCHECKED)])
def test_children_are_asked_for_with_the_parent_that_is_given(customer: str, access: Access) -> None:
    """A parent that is gone meanwhile says nothing about the permission."""
    app = simulated()
    name = app.account.objects("customer")[0]["id"] if customer == "known" else customer
    _, found = examine(app, {BELOW: (name, {})})
    assert found[BELOW].access is access
    assert (found["customer_tax_ids"].access, found["customer_tax_ids"].reason) == (
        Access.UNCHECKED, "the mirror has no customers to ask about",
    )  # fmt: skip


def test_unknown_key_ends_it_at_the_first_request() -> None:
    app = simulated()
    with pytest.raises(Unauthorized):
        examine(app, key="sk_live_nobody")
    assert len(app.requests) == 1
