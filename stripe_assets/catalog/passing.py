"""Fields that Stripe writes anew with each answer, or that only pass: two readings of an unchanged object differ in them.

What is known from Stripe's documentation and from answers that people have published; without a live account nobody could
look here (2026-11). Whoever compares two readings asks only whether there is a value.
"""

from collections.abc import Mapping

PASSING: Mapping[str, frozenset[str]] = {
    "charge": frozenset({"receipt_url"}),  # an address with a token that is made for who asks
    "credit_note": frozenset({"pdf"}),
    "event": frozenset({"pending_webhooks"}),  # counts down as they are delivered
    "invoice": frozenset({"hosted_invoice_url", "invoice_pdf"}),
}
"""The fields, by what the objects call themselves."""
EMPTY = frozenset[str]()


def passing(objects: tuple[str, ...]) -> frozenset[str]:
    """Name the passing fields of a type that holds these objects."""
    return EMPTY.union(*(PASSING.get(name, EMPTY) for name in objects))
