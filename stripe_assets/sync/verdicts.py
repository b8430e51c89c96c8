"""What became of a proof: counts for each type and account, and examples of what is wrong for people to look at.

How it comes about is decided in `proof`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from stripe_assets.warehouse.agreement import What

EXAMPLES = 10
"""Errors of a type that are shown one by one; all are counted."""
NOT_WHOLE = "the mirror does not hold it whole: sync it first"
EMPTY = "neither the mirror nor Stripe has any of what was looked at"


@dataclass(frozen=True, slots=True)
class Example:
    """One error for people to look at: in a column the two values, where they differ."""

    account_id: str
    id: str
    what: What
    column: str = ""
    ours: str = ""
    theirs: str = ""


@dataclass(frozen=True, slots=True)
class TypeProof:
    """What became of one type: `sampled` objects were read again by so many `requests`.

    `errors` counts by kind of error, `forgiven` by reason what differs and is no error, with an example's id. `unproven`
    says why nothing was compared, `refused` what Stripe answered where a request failed.
    """

    type: str
    sampled: int = 0
    equal: int = 0
    errors: Mapping[What, int] = field(default_factory=dict)
    forgiven: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    examples: tuple[Example, ...] = ()
    requests: int = 0
    unproven: str | None = None
    refused: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing was found that is wrong."""
        return not self.errors

    def __add__(self, other: "TypeProof") -> "TypeProof":
        """Count the same type of two accounts together."""
        forgiven = dict(self.forgiven)
        for reason, (times, example) in other.forgiven.items():
            forgiven[reason] = (forgiven.get(reason, (0, example))[0] + times, forgiven.get(reason, (0, example))[1])
        return TypeProof(
            self.type,
            self.sampled + other.sampled,
            self.equal + other.equal,
            {what: self.errors.get(what, 0) + other.errors.get(what, 0) for what in {**self.errors, **other.errors}},
            forgiven,
            (*self.examples, *other.examples)[:EXAMPLES],
            self.requests + other.requests,
            self.unproven if other.unproven is not None else None,
            (*self.refused, *other.refused),
        )


@dataclass(frozen=True, slots=True)
class Proof:
    """What became of one account; `requests` are all that were made, the run's first ones included."""

    account_id: str
    types: Mapping[str, TypeProof]
    requests: int
