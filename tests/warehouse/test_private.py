"""What is private never reaches the file: not in a column, not in JSON, not in `_raw`, an event or a dead letter."""

import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from equality import looking, rows
from hypothesis import given, settings
from hypothesis import strategies as st
from mirroring import FEW, NOW, World
from sync.altered import Altered

from stripe_assets.catalog.types import load
from stripe_assets.errors import ConfigurationError
from stripe_assets.simulator.account import Account
from stripe_assets.warehouse.private import EXCLUDE, HASH, KEY, WITHHELD, Private, private

SECRET = "correct horse battery staple"


def chosen(*exclude: str, hashed: tuple[str, ...] = ()) -> Private:
    return private(load(), exclude=exclude, hashed=hashed, key=SECRET)


def clean(what: Private, thing: Any, *, of: str) -> Any:
    return json.loads(bytes(what.clean(msgspec.Raw(json.dumps(thing).encode()), of)))


def digest(text: str) -> str:
    return hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()


def test_field_is_left_out_or_hashed_and_the_rest_is_as_it_was() -> None:
    what = chosen("customers.phone", hashed=("customers.email", "customers.address"))
    thing = {"id": "cus_1", "phone": "+43", "email": "a@b.c", "address": {"b": 1, "a": "x"}, "name": "A", "metadata": {"email": "kept"}}
    assert clean(what, thing, of="customer") == {
        "id": "cus_1", "email": digest("a@b.c"), "address": digest('{"a":"x","b":1}'), "name": "A", "metadata": {"email": "kept"},
    }  # fmt: skip
    assert clean(what, {"id": "cus_1", "email": None}, of="customer") == {"id": "cus_1", "email": None}


def test_object_is_clean_wherever_it_is_embedded() -> None:
    """Expanded in a charge, listed in an invoice, told by an event with what it was before: it is the same customer."""
    what = chosen("customers.phone", hashed=("customers.email", "charges.billing_details.email"))
    customer = {"id": "cus_1", "object": "customer", "email": "a", "phone": "1"}
    cleaned = {"id": "cus_1", "object": "customer", "email": digest("a")}
    charge = {"id": "ch_1", "object": "charge", "customer": customer, "billing_details": {"email": "a", "phone": "2"}}
    assert clean(what, charge, of="charge") == {
        "id": "ch_1", "object": "charge", "customer": cleaned, "billing_details": {"email": digest("a"), "phone": "2"},
    }  # fmt: skip
    assert clean(what, {"id": "x", "things": {"data": [customer, 5]}}, of="invoice") == {"id": "x", "things": {"data": [cleaned, 5]}}
    event = {
        "id": "evt_1",
        "object": "event",
        "data": {"object": customer, "previous_attributes": {"email": "b", "phone": None, "name": "B"}},
    }
    assert clean(what, event, of="event")["data"] == {"object": cleaned, "previous_attributes": {"email": digest("b"), "name": "B"}}


def test_every_kind_of_object_that_a_type_holds_is_clean() -> None:
    """A customer's sources are bank accounts and cards, and most of them come inside the customer or an event."""
    what = chosen("customer_sources.last4", hashed=("customer_sources.name",))
    card = {"id": "card_1", "object": "card", "last4": "4242", "name": "A B"}
    cleaned = {"id": "card_1", "object": "card", "name": digest("A B")}
    customer = {"id": "cus_1", "object": "customer", "sources": {"data": [card], "has_more": False}}
    assert clean(what, customer, of="customer")["sources"]["data"] == [cleaned]
    event = {"id": "evt_1", "object": "event", "data": {"object": card, "previous_attributes": {"last4": "1111"}}}
    assert clean(what, event, of="event")["data"] == {"object": cleaned, "previous_attributes": {}}


def test_reference_gets_one_hash_expanded_or_not() -> None:
    what = chosen(hashed=("charges.customer",))
    assert clean(what, {"customer": "cus_1"}, of="charge") == {"customer": digest("cus_1")}
    assert clean(what, {"customer": {"id": "cus_1", "object": "customer"}}, of="charge") == {"customer": digest("cus_1")}


def test_field_that_two_settings_lead_to_is_hashed_once() -> None:
    """Twice hashed it would equal no other column's hash of the same value."""
    what = chosen(hashed=("customers.email",))
    former = {"email": "b", "nested": {"object": "customer", "email": "c"}}
    data = {"object": {"object": "customer", "email": "a"}, "previous_attributes": former}
    found = clean(what, {"data": data}, of="event")["data"]
    assert found["previous_attributes"] == {"email": digest("b"), "nested": {"object": "customer", "email": digest("c")}}


@pytest.mark.parametrize("text", ['{"id":"a","email":"x', '{"id":"a","email":"\\ud800"}', "[" * 100_000 + '"email"'])
def test_what_cannot_be_read_is_withheld(text: str) -> None:
    assert chosen("customers.email").clean(msgspec.Raw(text.encode()), "customer") == WITHHELD


def test_numbers_keep_their_digits() -> None:
    text = b'{"a":12.70,"b":1e3,"c":123456789012345678901234567890,"email":1}'
    assert bytes(chosen("customers.email").clean(msgspec.Raw(text), "customer")) == text.replace(b',"email":1', b"")


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text("abc", max_size=3))
NAMES = st.sampled_from(["object", "email", "phone", "address", "data", "previous_attributes", "customer", "billing_details"])
KINDS = st.sampled_from(["customer", "charge", "event", "list"])


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4) | st.builds(
        lambda kind, rest: {**rest, "object": kind}, KINDS, st.dictionaries(NAMES, inner, max_size=4)
    )  # fmt: skip


def customers(thing: Any) -> Iterator[dict[str, Any]]:
    """Give every customer in a thing, however deep."""
    if isinstance(thing, dict):
        if thing.get("object") == "customer":
            yield thing
        for inner in thing.values():
            yield from customers(inner)
    elif isinstance(thing, list):
        for inner in thing:
            yield from customers(inner)


def without(thing: Any, names: frozenset[str]) -> Any:
    """Give a thing without any field of these names."""
    if isinstance(thing, dict):
        return {name: without(inner, names) for name, inner in thing.items() if name not in names}
    return [without(inner, names) for inner in thing] if isinstance(thing, list) else thing


@settings(max_examples=200, deadline=None, print_blob=True)
@given(thing=st.dictionaries(NAMES, st.recursive(SCALARS, objects, max_leaves=15), max_size=5), escaped=st.booleans())
def test_no_customer_anywhere_keeps_a_private_field_and_nothing_else_is_touched(thing: dict[str, Any], escaped: bool) -> None:
    what = chosen("customers.phone", hashed=("customers.email",))
    text = json.dumps({**thing, "object": "charge"})
    if escaped:
        text = text.replace('"email"', '"\\u0065mail"').replace('"phone"', '"\\u0070hone"')
    found = json.loads(bytes(what.clean(msgspec.Raw(text.encode()), "charge")))
    for customer in customers(found):
        assert "phone" not in customer
        assert customer.get("email") is None or len(customer["email"]) == 64
    private_names = frozenset({"phone", "email"})
    assert without(found, private_names) == without({**thing, "object": "charge"}, private_names)


@pytest.mark.parametrize(
    ("setting", "column", "told"),
    [
        (EXCLUDE, "email", "give a type and a column like customers.email"),
        (EXCLUDE, "customers.", "give a type and a column"),
        (EXCLUDE, "customer.email", "there is no type 'customer': did you mean customers?"),
        (EXCLUDE, "customers.emails", "customers have no column 'emails': did you mean email?"),
        (EXCLUDE, "customers._raw", "have no column '_raw'"),
        (EXCLUDE, "customers.id", "without which the mirror cannot be kept"),
        (EXCLUDE, "charges.created", "without which the mirror cannot be kept"),
        (EXCLUDE, "subscription_items.subscription", "without which the mirror cannot be kept"),
        (EXCLUDE, "checkout_sessions.status", "without which the mirror cannot be kept"),
        (EXCLUDE, "setup_intents.latest_attempt", "without which the mirror cannot be kept"),
        (EXCLUDE, "payment_intents.amount_details", "without which the mirror cannot be kept"),
        (EXCLUDE, "payment_intents.hooks.inputs", "without which the mirror cannot be kept"),
        (EXCLUDE, "tax_associations.tax_transaction_attempts.committed", "without which the mirror cannot be kept"),
        (EXCLUDE, "customers.test_clock", "without which the mirror cannot be kept"),
        (EXCLUDE, "invoices.lines.data.description", "name columns of invoice_lines"),
        (EXCLUDE, "events.data", "name columns of the objects' own types"),
        (EXCLUDE, "customers.email.domain", "email is a text and has no fields"),
        (HASH, "charges.amount", "a integer, which cannot hold a hash"),
    ],
)
def test_column_that_cannot_be_private_is_refused_with_what_to_do(setting: str, column: str, told: str) -> None:
    """A name that is misspelt must not end in a value that is stored in clear."""
    with pytest.raises(ConfigurationError) as refused:
        chosen(column) if setting == EXCLUDE else chosen(hashed=(column,))
    assert setting in str(refused.value)
    assert column in str(refused.value)
    assert told in str(refused.value)


def test_field_beside_one_that_is_needed_can_be_private() -> None:
    """Only what children are asked for by must stay, not everything that shares a column with it."""
    what = chosen("payment_intents.amount_details.tip")
    thing = {"id": "pi_1", "object": "payment_intent", "amount_details": {"tip": {"amount": 1}, "discount_amount": 2}}
    assert clean(what, thing, of="payment_intent")["amount_details"] == {"discount_amount": 2}


def test_column_in_both_settings_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=f"customers.email stands in {EXCLUDE} and in {HASH}"):
        chosen("customers.email", hashed=("customers.email",))


@pytest.mark.parametrize("key", ["", "short"])
def test_hashing_needs_a_key_that_is_not_shown(key: str) -> None:
    """Without a key, anybody who has a list of addresses has the addresses."""
    with pytest.raises(ConfigurationError, match=f"set {KEY} to 16 letters or more"):
        private(load(), exclude=(), hashed=["customers.email"], key=key)
    assert SECRET not in f"{chosen(hashed=('customers.email',))!r}"


EMAILS = (
    "customers.email",
    "payment_methods.billing_details.email",
    "invoices.customer_email",
    "charges.receipt_email",
    "charges.billing_details.email",
    "checkout_sessions.customer_details.email",
)
"""Every place that the simulated account tells an address in, but for events."""


def everything(database: Path) -> str:
    """Give all that the tables hold, as text: the file's bytes are partly compressed."""
    tables = "select schema_name || '.\"' || table_name || '\"' from duckdb_tables() where database_name = 'looked_at'"
    with looking(database) as connection:
        names = [name for (name,) in connection.execute(tables).fetchall()]
        return "\n".join(str(row) for name in names for row in connection.execute(f"select t::varchar from {name} t").fetchall())


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "settings_", [{"exclude_columns": EMAILS}, {"hash_columns": EMAILS, "hash_key": SECRET}, {}], ids=["out", "hash", "clear"]
)
def test_no_file_of_the_mirror_has_a_private_value(tmp_path: Path, settings_: dict[str, Any]) -> None:
    """Lists, embedded objects, events with former values, an object that cannot be stored; the third case shows that all would be seen."""
    account = Account(seed=3, customers=4, months=2, now=NOW)
    here = World(tmp_path / "mirror" / "stripe.duckdb", account, settings=settings_)
    clear = not settings_
    addresses = {thing["email"] for thing in account.objects("customer")} | {"former@private.example", "new@private.example"}

    def spoil(_params: dict[str, str], status: int, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        lost = {"email": "lost@private.example", "object": "customer"}
        return status, {**body, "data": [*body["data"][:1], lost, *body["data"][1:]] if body["data"] else []}

    here.sync(FEW)
    first = account.objects("customer")[0]["id"]
    for address in ("former@private.example", "new@private.example"):
        account.advance(1)
        account.edit("customer", first, email=address)
    here.app = Altered(here.app, {"/v1/customers": spoil})  # type: ignore[assignment]  # as usual but for one path
    here.sync(FEW)
    summary = here.sync(["customers"], full_refresh=True)
    (letter,) = [result.reason for result in summary.results if result.state == "failed"]
    text = everything(here.database)
    files = bytes_of(here.database.parent)
    assert "stripe.duckdb" in files
    seen = {address for address in addresses if address in text}
    on_disk = {address for address in addresses if any(address.encode() in content for content in files.values())}
    assert (seen == addresses, bool(on_disk), "lost@private" in (letter or "")) == (clear,) * 3
    assert seen | on_disk == (addresses if clear else set())
    assert ("former@private.example" in text) == clear
    assert KEY not in text
    assert SECRET not in text
    if "hash_key" in settings_:
        assert rows(here.database, f"select email from stripe.customers where id = '{first}'") == [(digest("new@private.example"),)]
        joined = "select count(*) > 0 from stripe.charges c join stripe.customers u on c.receipt_email = u.email"
        assert rows(here.database, joined) == [(True,)]


def test_setting_that_comes_later_is_recorded_and_warns_of_what_is_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Who hides a column wants it gone: that a file keeps what was written before must be said."""
    here = World(tmp_path / "stripe.duckdb", Account(seed=3, customers=5, now=NOW))
    here.sync(["customers"])
    assert "private" not in caplog.text
    for expected in (1, 0):
        caplog.clear()
        here.settings = {"hash_columns": ("customers.email",), "hash_key": SECRET}
        here.sync(["customers"])
        assert caplog.text.count("sync into a new file") == expected
    recorded = rows(here.database, "select change from stripe_sync.migrations where subject = 'private columns'")
    assert len(recorded) == 1
    assert recorded[0][0].startswith("customers.email hashed by the key ")
