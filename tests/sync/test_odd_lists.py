"""What no list should do, and some do: the mirror says which type is not right, and the others are unharmed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from equality import differences, rows
from sync.altered import Alter, Altered, Answer, empty, failing
from sync.odd import SOME, mend, others_complete, reason, states, world

from stripe_assets.api.client import ATTEMPTS


def spoil(place: int, change: Callable[[dict[str, Any]], Any]) -> Alter:
    """Change one object of each page."""

    def alter(_params: dict[str, str], status: int, body: dict[str, Any]) -> Answer:
        if status == 200 and len(body["data"]) > abs(place):
            body["data"][place] = change(body["data"][place])
        return status, body

    return alter


def without_id(thing: dict[str, Any]) -> Any:
    return {name: value for name, value in thing.items() if name != "id"}


@pytest.mark.parametrize("change", [without_id, lambda _: None, lambda _: "text"], ids=["without an id", "null", "text"])
def test_object_that_cannot_be_stored_costs_only_itself_and_is_told_of_until_it_is_read_again(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any]
) -> None:
    """Passed over without a word, it would be missing in every sum; and a second run must not call that complete."""
    here = world(tmp_path, customers=105, alter={"/v1/customers": spoil(1, change)})
    summary = here.sync(SOME)
    assert others_complete(here, summary, "customers")
    assert "/v1/customers gave an object that cannot be stored" in reason(summary, "customers")
    missing = [line for line in differences(here.database, here.account, types=("customers",)) if not line.endswith(": missing")]
    assert missing == [], "the objects around it were stored"
    mend(here)
    assert others_complete(here, here.sync(SOME), "customers")
    assert here.sync(SOME, full_refresh=True).complete
    assert differences(here.database, here.account, types=SOME) == []


def test_damaged_end_of_a_page_fails_its_type_with_a_dead_letter(tmp_path: Path) -> None:
    """Without the last object's id there is no way on."""
    here = world(tmp_path, customers=105, alter={"/v1/customers": spoil(-1, without_id)})
    summary = here.sync(SOME)
    assert others_complete(here, summary, "customers")
    assert rows(here.database, "select distinct type, path from stripe_sync.dead_letters") == [("customers", "/v1/customers")]
    mend(here)
    assert here.sync(SOME).complete
    assert differences(here.database, here.account, types=SOME) == []


def more_with_nothing(params: dict[str, str], status: int, body: dict[str, Any]) -> Answer:
    if params.get("limit") == "1":
        return status, body  # what a run needs before it can begin
    return status, {**body, "data": [], "has_more": True}


def always_the_first_page() -> Alter:
    first: dict[str, Any] = {}

    def alter(_params: dict[str, str], status: int, body: dict[str, Any]) -> Answer:
        first.update(first or body)
        return status, {**first, "has_more": True}

    return alter


ENDLESS = [more_with_nothing, always_the_first_page()]


@pytest.mark.parametrize("alter", ENDLESS, ids=["more with nothing", "cursor never advances"])
def test_list_that_never_ends_fails_its_type_and_ends(tmp_path: Path, alter: Alter) -> None:
    """Taken for the end, its rest is lost without a word; gone on with, it is asked for until the allowance is used up."""
    here = world(tmp_path, alter={"/v1/products": alter})
    summary = here.sync(SOME)
    assert others_complete(here, summary, "products")
    assert "says that there is more" in reason(summary, "products")
    assert len(here.asked("/v1/products")) <= ATTEMPTS + 2
    mend(here)
    assert here.sync(SOME).complete
    assert differences(here.database, here.account, types=SOME) == []


@pytest.mark.parametrize("alter", [more_with_nothing, always_the_first_page()], ids=["more with nothing", "cursor never advances"])
@pytest.mark.parametrize("path", ["/v1/balance_transactions", "/v1/events"])
def test_catching_up_with_a_list_that_never_ends_fails_and_ends(tmp_path: Path, path: str, alter: Alter) -> None:
    here = world(tmp_path, customers=40)
    names = ("customers", "balance_transactions")
    here.sync(names)
    here.account.advance(days=3)
    here.app = Altered(here.app, {path: alter})  # type: ignore[assignment]  # answers as the simulator does, but for some paths
    before = len(here.asked(path))
    failed = [result.type for result in here.sync(names).results if result.state == "failed"]
    assert failed == ["balance_transactions"] if path != "/v1/events" else "customers" in failed
    assert len(here.asked(path)) - before <= ATTEMPTS + 3
    mend(here)
    assert here.sync(names).complete
    assert differences(here.database, here.account, types=names) == []


def test_children_whose_list_never_ends_fail_and_are_asked_for_again(tmp_path: Path) -> None:
    here = world(tmp_path, customers=20)
    long = here.account.bill(here.account.objects("customer")[0]["id"], lines=30)
    names = ("invoices", "invoice_lines")
    here.app = Altered(here.app, {f"/v1/invoices/{long}/lines": more_with_nothing})  # type: ignore[assignment]  # as above
    assert states(here.sync(names)) == {"invoices": "complete", "invoice_lines": "failed"}
    mend(here)
    assert here.sync(names).complete
    assert differences(here.database, here.account, types=names) == []


def test_empty_lists_are_complete_with_no_rows(tmp_path: Path) -> None:
    here = world(tmp_path, customers=20, alter={f"/v1/{name}": empty for name in SOME})
    summary = here.sync(SOME)
    assert summary.complete
    assert {result.type: result.rows for result in summary.results if result.type in SOME} == dict.fromkeys(SOME, 0)
    asked = {name: [request.params for request in here.asked(f"/v1/{name}") if "test_clock" not in request.params] for name in SOME}
    assert {name: len(params) for name, params in asked.items()} == dict.fromkeys(SOME, 1) | {"prices": 2}  # archived ones as well


def test_ids_with_quotes_and_question_marks_are_ids_like_any_other(tmp_path: Path) -> None:
    """Coupons, plans and products are named by the account's owner."""
    here = world(tmp_path, customers=10)
    names = ["it's", 'say "hi"', "a?b=c&d#e", "50%25", "ü ñ", "{id}"]
    for name in names:
        here.account.create("coupon", id=name)
    assert here.sync(["coupons"]).complete
    for name in names[:4]:
        here.account.edit("coupon", name, name="first")
        here.account.edit("coupon", name, name="second")  # in the same second: it is read again by its id
    here.account.delete("coupon", names[4])
    assert here.sync(["coupons"]).complete
    assert differences(here.database, here.account, types=("coupons",)) == []


def test_object_of_five_megabytes_is_mirrored(tmp_path: Path) -> None:
    here = world(tmp_path, customers=10)
    here.account.create("customer", metadata={"note": "x" * 5_000_000})
    assert here.sync(["customers"]).complete
    assert differences(here.database, here.account, types=("customers",)) == []


def test_fault_of_one_list_leaves_the_rest_complete(tmp_path: Path) -> None:
    here = world(tmp_path, customers=40, alter={"/v1/prices": failing})
    summary = here.sync(SOME)
    assert others_complete(here, summary, "prices")
    assert "given up after 8 attempts" in reason(summary, "prices")
