"""A register of leases in memory: what Redis and PostgreSQL do, by a clock of ours, and failing when told to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from stripe_assets.limits.registers import Address, Claim, Rival, Standing, Unreachable


@dataclass
class Row:
    """What is written down for one owner and bucket."""

    seats: int
    want: int
    most: int
    ends_at: float
    number: int


@dataclass
class Books:
    """What all owners of an account see."""

    now: Callable[[], float]
    rows: dict[tuple[str, str], Row] = field(default_factory=dict)

    def claim(self, owner: str, number: int, claim: Claim) -> Standing:
        now = self.now()
        live = {name: row for (bucket, name), row in self.rows.items() if bucket == claim.bucket and row.ends_at > now}
        mine, others = live.pop(owner, None), live
        rivals = tuple(Rival(name, row.want, row.most) for name, row in others.items())
        if mine is not None and number < mine.number:
            return Standing(mine.seats, rivals, now)
        free = max([claim.most, *(row.most for row in others.values())]) - sum(row.seats for row in others.values())
        held = min(claim.hold, max(mine.seats if mine else 0, free))
        self.rows[claim.bucket, owner] = Row(held, claim.want, claim.most, now + claim.lasts, number)
        return Standing(held, rivals, now)


class MemoryRegister:
    """One owner's way to the books, which may be broken in the way there or in the way back."""

    address = Address("memory://user:geheim@books", "memory://books", ("geheim",))

    def __init__(self, books: Books) -> None:
        self.books = books
        self.asked = 0
        self.loses_claims = False
        self.loses_answers = False
        self.breaks: Exception | None = None
        self.is_closed = False

    def claim(self, owner: str, number: int, claims: Sequence[Claim]) -> list[Standing]:
        self.asked += 1
        if self.breaks is not None:
            raise self.breaks
        if self.loses_claims:
            raise Unreachable("connection refused")
        answers = [self.books.claim(owner, number, claim) for claim in claims]
        if self.loses_answers:
            raise Unreachable("connection lost")
        return answers

    def close(self) -> None:
        self.is_closed = True
