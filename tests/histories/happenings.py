"""What may happen in an account: one change each, to an object that chance chooses, as its owner or a customer would make it."""

import random
from typing import Any

from stripe_assets.simulator.account import Account


def any_of(account: Account, chance: random.Random, kind: str) -> dict[str, Any] | None:
    """Choose an object of a kind; none if there is none."""
    found = account.objects(kind)
    return chance.choice(found) if found else None


def change(kind: str, field: str, account: Account, chance: random.Random) -> None:
    """Edit a text of an object."""
    if (chosen := any_of(account, chance, kind)) is not None:
        account.edit(kind, chosen["id"], **{field: f"now {chance.randrange(10**6)}"})


def edit_customer(account: Account, chance: random.Random) -> None:
    change("customer", "name", account, chance)


def edit_charge(account: Account, chance: random.Random) -> None:
    change("charge", "description", account, chance)


def edit_invoice(account: Account, chance: random.Random) -> None:
    change("invoice", "description", account, chance)


def edit_open_payment_intent(account: Account, chance: random.Random) -> None:
    """Of which no event tells. (Nor of an edit to one that is final, which nobody can know of.)"""
    found = [each for each in account.objects("payment_intent") if each["status"] not in ("succeeded", "canceled")]
    if found:
        account.edit("payment_intent", chance.choice(found)["id"], description=f"now {chance.randrange(10**6)}")


def edit_twice_in_a_second(account: Account, chance: random.Random) -> None:
    if (chosen := any_of(account, chance, "customer")) is not None:
        for name in ("first", "last"):
            account.edit("customer", chosen["id"], name=f"{name} {chance.randrange(10**6)}")


def new_customer(account: Account, _chance: random.Random) -> None:
    account.create("customer")


def delete_customer(account: Account, chance: random.Random) -> None:
    if (chosen := any_of(account, chance, "customer")) is not None:
        account.delete("customer", chosen["id"])


def bill(account: Account, chance: random.Random) -> None:
    """By an invoice whose lines are more than its first page shows, or not."""
    if (chosen := any_of(account, chance, "customer")) is not None:
        account.bill(chosen["id"], lines=chance.choice([1, 3, 10, 11, 25, 120]))


def refund(account: Account, chance: random.Random) -> None:
    charges = [each for each in account.objects("charge") if each["paid"] and each["amount"] - each["amount_refunded"] > 2]
    if charges:
        account.refund(chance.choice(charges)["id"], 1)


def cancel_subscription(account: Account, chance: random.Random) -> None:
    running = [each for each in account.objects("subscription") if each["status"] in ("active", "trialing", "past_due")]
    if running:
        account.delete("subscription", chance.choice(running)["id"])


def new_coupon(account: Account, chance: random.Random) -> None:
    account.create("coupon", percent_off=chance.randint(1, 90))


def delete_coupon(account: Account, chance: random.Random) -> None:
    if (chosen := any_of(account, chance, "coupon")) is not None:
        account.delete("coupon", chosen["id"])


def new_balance_transaction(account: Account, chance: random.Random) -> None:
    if (chosen := any_of(account, chance, "customer")) is not None:
        amount = -chance.randint(1, 999)
        account.create("customer_balance_transaction", under=chosen["id"], amount=amount, currency="usd")
        account.edit("customer", chosen["id"], balance=chosen["balance"] + amount)  # which is what Stripe tells of


def new_shipping_rate(account: Account, _chance: random.Random) -> None:
    """Of which no event tells."""
    account.create("shipping_rate")


def edit_shipping_rate(account: Account, chance: random.Random) -> None:
    change("shipping_rate", "display_name", account, chance)


def new_transfer(account: Account, chance: random.Random) -> None:
    transfer = account.create("transfer", amount=1000, currency="usd")
    for _ in range(chance.choice([0, 1, 12])):
        account.create("transfer_reversal", under=transfer, amount=1)


def reverse_transfer(account: Account, chance: random.Random) -> None:
    if (chosen := any_of(account, chance, "transfer")) is not None:
        account.create("transfer_reversal", under=chosen["id"], amount=1)


HAPPENINGS = (
    edit_customer, edit_charge, edit_invoice, edit_open_payment_intent, edit_twice_in_a_second, new_customer, delete_customer, bill, refund,
    cancel_subscription, new_coupon, delete_coupon, new_balance_transaction, new_shipping_rate, edit_shipping_rate, new_transfer,
    reverse_transfer,
)  # fmt: skip
