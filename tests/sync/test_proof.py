"""What a proof finds: each damage by the type, the id and the column, and nothing where only time has passed."""

from pathlib import Path

import pytest
from equality import rows
from mirroring import NOW, World
from proving import Synced, damage, failing, proven

from stripe_assets.simulator.account import Account
from stripe_assets.sync.excuses import NEW, TOLD, UNTOLD
from stripe_assets.sync.questions import IDS
from stripe_assets.sync.verdicts import EMPTY, NOT_WHOLE
from stripe_assets.warehouse.agreement import What
from stripe_assets.warehouse.showing import HIDDEN

TYPES = (
    "account", "balance_transactions", "charges", "coupons", "customers", "events", "invoice_lines", "invoices", "payouts",
    "payout_balance_transactions", "prices", "products", "shipping_rates", "subscription_items", "subscriptions", "tax_codes", "tax_rates",
)  # fmt: skip
NEAR = ("customers", "invoice_lines", "products", "tax_rates")
"""Those of which a damage is told, beside others of which none is."""
MOST = IDS + 1
STORY = {"seed": 5, "customers": 80, "months": 12, "now": NOW}
EMAIL, CITY = "secret@example.com", "Secretville"


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Synced:
    here = Synced(STORY, tmp_path_factory.mktemp("proof") / "stripe.duckdb")
    assert World(here.database, Account(**STORY)).sync(TYPES).complete
    return here


@pytest.fixture
def synced(first: Synced, tmp_path: Path) -> World:
    return first.copy(tmp_path / "stripe.duckdb")


def oldest(world: World, name: str) -> str:
    """Give the id of an object that was there long before the sync."""
    return str(rows(world.database, f"select id from stripe.{name} order by created, id limit 1")[0][0])


def test_mirror_that_was_just_synced_is_equal(synced: World) -> None:
    proof = proven(synced, TYPES)
    assert {name: one for name, one in proof.types.items() if not one.passed or one.forgiven or one.refused} == {}
    assert {name for name, one in proof.types.items() if one.sampled != one.equal} == set()
    assert {name for name, one in proof.types.items() if one.unproven} <= {"coupons"}
    assert proof.types["customers"].sampled == len(synced.account.objects("customer"))
    assert proof.types["tax_codes"].sampled > 10


def test_proof_takes_three_requests_a_type_at_most_and_writes_nothing(synced: World) -> None:
    """Requests are what Stripe allots, and the sync needs them."""
    before = synced.database.read_bytes()
    proof = proven(synced, ["balance_transactions", "customers", "events", "subscription_items", "tax_codes"], seed="another")
    made = {name: one.requests for name, one in proof.types.items()}
    assert max(made.values()) == MOST
    assert proof.requests == len(synced.app.requests) == sum(made.values()) + 2  # whose account it is, and its newest event
    assert all(int(request.params.get("limit", 100)) <= 100 for request in synced.app.requests)
    assert synced.database.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "column", "value", "shown", "ours"),
    [
        ("customers", "email", "'somebody@else.com'", "email", "somebody@else.com"),
        ("charges", "amount", "-1", "amount", "-1"),
        ("charges", "billing_details", """'{"address": {"city": "Nowhere"}}'""", "billing_details.address.city", "Nowhere"),
        ("invoices", "created", "'2020-01-01 00:00:00Z'", "created", '"2020-01-01 00:00:00+00:00"'),
        ("products", "metadata", """'{"a": "b"}'""", "metadata.a", "b"),
    ],
)
def test_value_that_is_wrong_is_named_with_its_object_and_column(
    synced: World, name: str, column: str, value: str, shown: str, ours: str
) -> None:
    wrong = oldest(synced, name)
    damage(synced.database, f"update stripe.{name} set {column} = {value} where id = '{wrong}'")
    found = failing(proven(synced, {*NEAR, name}))
    assert list(found) == [name]
    assert found[name].errors == {What.DIFFERING: 1}
    assert found[name].equal == found[name].sampled - 1
    (example,) = found[name].examples
    assert (example.id, example.what, example.column, example.ours) == (wrong, What.DIFFERING, shown, ours)
    assert example.theirs != ours


def test_child_that_is_wrong_is_named_whoever_its_parent_is(synced: World) -> None:
    damage(synced.database, "update stripe.subscription_items set quantity = -1")
    found = failing(proven(synced, [*NEAR, "subscription_items"]))
    assert list(found) == ["subscription_items"]
    assert {(one.column, one.ours) for one in found["subscription_items"].examples} == {("quantity", "-1")}


def test_what_json_means_counts_and_not_how_it_is_written(synced: World) -> None:
    damage(synced.database, "update stripe.products set metadata = '{ }' where metadata = '{}'")
    damage(synced.database, """update stripe.customers set metadata = '{"b":"1",  "a":"2"}'""")
    for customer in synced.account.objects("customer"):
        synced.account.edit("customer", customer["id"], metadata={"a": "2", "b": "1"})
    proof = proven(synced, ["products", "customers"])
    assert proof.types["products"].equal == proof.types["products"].sampled
    assert proof.types["customers"].equal == proof.types["customers"].sampled


def test_address_that_stripe_makes_anew_for_each_answer_is_compared_by_being_there(synced: World) -> None:
    damage(synced.database, "update stripe.charges set receipt_url = 'https://pay.stripe.com/another' where receipt_url is not null")
    assert failing(proven(synced, ["charges"])) == {}
    damage(synced.database, "update stripe.charges set receipt_url = case when receipt_url is null then 'https://pay.stripe.com/new' end")
    assert {one.column for one in failing(proven(synced, ["charges"]))["charges"].examples} == {"receipt_url"}


def test_row_that_was_lost_is_missing(synced: World) -> None:
    lost = oldest(synced, "customers")
    damage(synced.database, f"delete from stripe.customers where id = '{lost}'")
    found = failing(proven(synced, NEAR))
    assert [(name, one.errors) for name, one in found.items()] == [("customers", {What.MISSING: 1})]
    assert [example.id for example in found["customers"].examples] == [lost]


def test_row_that_was_marked_deleted_by_mistake_is_missing(synced: World) -> None:
    lost = oldest(synced, "products")
    damage(synced.database, f"update stripe.products set _deleted_at = now() where id = '{lost}'")
    found = failing(proven(synced, NEAR))
    assert [(name, one.errors, one.examples[0].id) for name, one in found.items()] == [("products", {What.MISSING: 1}, lost)]


@pytest.mark.parametrize("name", ["customers", "balance_transactions", "invoice_lines"])
def test_row_that_stripe_does_not_know_is_told(synced: World, name: str) -> None:
    """Found in a stretch of its list, or in its parent's: nobody would ask for it by its id."""
    # Beside every row, as only some are looked at.
    damage(synced.database, f"insert into stripe.{name} select * replace ('zz_' || id as id) from stripe.{name}")
    found = failing(proven(synced, {*NEAR, name}))
    assert list(found) == [name]
    assert found[name].errors[What.UNKNOWN] >= 1
    assert found[name].errors.keys() == {What.UNKNOWN}
    assert all(example.id.startswith("zz_") for example in found[name].examples)


def test_row_that_a_page_cannot_start_after_is_unknown(synced: World) -> None:
    """Where a list knows no times, it is read from a random row on: if Stripe has no such object, that is an answer too."""
    damage(synced.database, "update stripe.tax_codes set id = 'zz_' || id")
    found = proven(synced, ["tax_codes"]).types["tax_codes"]
    assert (found.sampled, found.equal) == (3, 0), "that one, and those two that were asked for by their ids"
    assert {reason: times for reason, (times, _) in found.forgiven.items()} == {UNTOLD: 3}, "they may be gone since: no event would say so"


def test_child_that_was_lost_is_missing_in_its_parents_list(synced: World) -> None:
    damage(synced.database, "delete from stripe.invoice_lines")
    found = failing(proven(synced, NEAR))
    assert list(found) == ["invoice_lines"]
    assert found["invoice_lines"].errors[What.MISSING] == found["invoice_lines"].sampled > 0


def test_change_after_the_sync_is_forgiven_and_the_next_sync_ends_that(synced: World) -> None:
    """It is no error of the mirror that an account goes on living."""
    edited, deleted, kept, *_ = [thing["id"] for thing in synced.account.objects("customer")]
    product = synced.account.objects("product")[-1]["id"]
    synced.account.edit("customer", edited, name="Somebody Else")
    synced.account.delete("customer", deleted)
    synced.account.create("customer")
    synced.account.edit("product", product, name="Something else")
    proof = proven(synced, ["customers", "products", "tax_rates"])
    assert failing(proof) == {}
    forgiven = {name: {reason: times for reason, (times, _) in one.forgiven.items()} for name, one in proof.types.items()}
    assert forgiven == {"customers": {TOLD: 2, NEW: 1}, "products": {TOLD: 1}, "tax_rates": {}}
    assert proof.requests <= 3 * MOST + 2 + 1  # the events are asked for once
    synced.sync(TYPES)
    again = proven(synced, ["customers", "products"])
    assert {name: (one.passed, one.forgiven) for name, one in again.types.items()} == dict.fromkeys(again.types, (True, {}))
    damage(synced.database, f"update stripe.customers set name = 'as before' where id = '{edited}'")
    assert list(failing(proven(synced, ["customers"]))) == ["customers"], f"its event has been applied, and {kept} has none"


def test_children_of_parents_that_changed_are_forgiven(synced: World) -> None:
    """No event tells of them: nobody can know whether they were wrong before."""
    for invoice in synced.account.objects("invoice"):
        synced.account.edit("invoice", invoice["id"], description="changed")
    damage(synced.database, "update stripe.invoice_lines set amount = -1")
    lines = proven(synced, ["invoice_lines"]).types["invoice_lines"]
    assert lines.passed
    assert lines.forgiven[TOLD][0] == lines.sampled > 0


def test_type_that_nothing_tells_of_is_forgiven_what_stripe_changed_but_not_what_was_damaged(synced: World) -> None:
    """Of such objects the mirror knows only how they were: its own copy of what it received says whether it kept that."""
    rate = synced.account.objects("shipping_rate")[0]["id"]
    synced.account.edit("shipping_rate", rate, display_name="Renamed")
    changed = proven(synced, ["shipping_rates"]).types["shipping_rates"]
    assert changed.passed
    assert changed.forgiven == {UNTOLD: (1, rate)}
    damage(synced.database, f"update stripe.shipping_rates set display_name = 'Damaged' where id = '{rate}'")
    damaged = proven(synced, ["shipping_rates"]).types["shipping_rates"]
    assert [(one.id, one.column, one.ours, one.theirs) for one in damaged.examples] == [(rate, "display_name", "Damaged", "Renamed")]


def test_balance_that_moves_is_no_error(synced: World) -> None:
    synced.sync(["balance"])
    synced.account.bill(synced.account.objects("customer")[0]["id"], lines=1)
    assert proven(synced, ["balance"]).types["balance"].forgiven.keys() == {UNTOLD}


def test_what_is_private_is_never_shown(tmp_path: Path) -> None:
    """Neither that of the mirror, which may have stored it before it was private, nor Stripe's."""
    private = {"exclude_columns": ("customers.email", "charges.billing_details.address.city"), "hash_columns": ("customers.name",)}
    settings = {**private, "hash_key": "k" * 16}
    here = World(tmp_path / "stripe.duckdb", Account(**STORY), settings=settings)
    here.sync(["customers", "charges"])
    clean = proven(here, ["customers", "charges"])
    assert failing(clean) == {}
    damage(here.database, f"update stripe.customers set email = '{EMAIL}', name = '{EMAIL}', address = '{{\"city\": \"{CITY}\"}}'")
    damage(here.database, f'update stripe.charges set billing_details = \'{{"address": {{"city": "{CITY}"}}}}\'')
    proof = proven(here, ["customers", "charges"])
    shown = {(one.column, one.ours, one.theirs) for one in proof.types["customers"].examples if not one.column.startswith("address")}
    assert shown == {("email", HIDDEN, HIDDEN), ("name", HIDDEN, HIDDEN)}
    assert {(one.column, one.ours, one.theirs) for one in proof.types["charges"].examples} == {("billing_details", HIDDEN, HIDDEN)}
    emails = {customer["email"] for customer in here.account.objects("customer")}
    assert not any(secret in repr(proof.types["customers"]) for secret in {EMAIL, *emails})
    assert CITY not in repr(proof.types["charges"])


def test_long_list_is_held_against_the_mirror_where_the_seed_says(synced: World) -> None:
    """From a random object on: another stretch each time."""
    assert len(synced.account.objects("event")) > 150
    began = set()
    for seed in "abc":
        proof = proven(synced, ["events"], seed=seed).types["events"]
        assert proof.passed and 1 < proof.sampled <= 102
        (asked,) = [request for request in synced.asked("/v1/events") if "created[lte]" in request.params][-1:]
        began.add(asked.params["created[lte]"])
    assert len(began) == 3
    damage(synced.database, "insert into stripe.events select * replace ('zz_' || id as id) from stripe.events")
    assert failing(proven(synced, ["events"]))["events"].errors.keys() == {What.UNKNOWN}


def test_page_that_ends_within_a_second_says_nothing_of_the_rest_of_it(tmp_path: Path) -> None:
    """An import makes a hundred objects in a second, and more: those on the next page are not unknown."""
    here = World(tmp_path / "stripe.duckdb", Account(**STORY))
    for _ in range(130):
        here.account.create("coupon")
    here.sync(["coupons"])
    proof = proven(here, ["coupons"], seed="2").types["coupons"]
    assert proof.passed and not proof.forgiven
    assert 100 <= proof.sampled == proof.equal <= 102


def test_parent_with_more_than_a_page_of_children_is_looked_into_from_a_random_one_on(tmp_path: Path) -> None:
    here = World(tmp_path / "stripe.duckdb", Account(seed=1, customers=1, months=1, now=NOW))
    invoice = here.account.bill(here.account.objects("customer")[0]["id"], lines=250)
    here.sync(["invoice_lines"])
    for seed in "abc":
        before = len(here.asked(f"/v1/invoices/{invoice}/lines"))
        proof = proven(here, ["invoice_lines"], seed=seed).types["invoice_lines"]
        assert proof.passed and not proof.forgiven
        assert proof.sampled == proof.equal > 0
        assert all("starting_after" in request.params for request in here.asked(f"/v1/invoices/{invoice}/lines")[before:])
    assert len({request.params["starting_after"] for request in here.asked(f"/v1/invoices/{invoice}/lines")[-3:]}) > 1


def test_what_stripe_keeps_no_longer_is_not_asked_for(synced: World) -> None:
    """Events are gone after thirty days, and stay in the mirror."""
    synced.account.advance(days=20)
    synced.sync(["events"])
    for seed in "abcd":
        assert failing(proven(synced, ["events"], seed=seed)) == {}


def test_type_that_is_not_in_the_mirror_is_not_proven(synced: World, tmp_path: Path) -> None:
    """Nor is an empty one taken for it, or anything where there is no file."""
    proof = proven(synced, ["coupons", "quotes"])
    assert proof.types["quotes"].unproven == NOT_WHOLE
    assert proof.types["coupons"].unproven in (None, EMPTY)
    nowhere = proven(World(tmp_path / "none.duckdb", synced.account), ["coupons"])
    assert nowhere.types["coupons"].unproven == NOT_WHOLE
    assert not (tmp_path / "none.duckdb").exists()


def test_mirror_that_begins_at_a_time_lacks_nothing_from_before(tmp_path: Path) -> None:
    here = World(tmp_path / "stripe.duckdb", Account(**STORY))
    here.sync(["charges", "products"], since=NOW - 60 * 86_400)
    proof = proven(here, ["charges", "products"])
    assert failing(proof) == {}
    assert proof.types["charges"].sampled == proof.types["charges"].equal > 0


def test_type_that_the_key_may_not_read_any_more_says_so(first: Synced, tmp_path: Path) -> None:
    here = first.copy(tmp_path / "stripe.duckdb", options={"keys": {"rk_test_limited": {"balance_transaction"}}}, key="rk_test_limited")
    proof = proven(here, ["balance_transactions", "products"])
    assert failing(proof) == {}
    assert proof.types["products"].sampled == proof.types["products"].equal > 0
    (refused,) = proof.types["balance_transactions"].refused
    assert "permission" in refused
    assert proof.types["balance_transactions"].requests == 1
