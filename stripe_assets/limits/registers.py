"""What is written down about leases of seats where several machines see it, and what every such register promises.

A register divides each bucket's seats among those who claim some, by its own clock, one claim after the other. It never writes down
more than there are. What to claim, and when, is decided in `leases`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Claim:
    """One owner's claim for one bucket."""

    bucket: str
    hold: int
    """Seats to hold from now on; what the owner held beyond that, it has not used for as long as a seat rests."""
    want: int
    """Seats that it would like to hold: who has more than a fair share makes room for those who want some."""
    most: int
    """Seats that its limit has."""
    lasts: float
    """Seconds after which the claim ends, unless it is made again."""


@dataclass(frozen=True, slots=True)
class Rival:
    """What another owner's claim for the same bucket says."""

    owner: str
    want: int
    most: int


@dataclass(frozen=True, slots=True)
class Standing:
    """The answer to a claim: seats held now, and who else wants some, at `at` seconds of the register's clock."""

    held: int
    rivals: tuple[Rival, ...]
    at: float


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is: `url` to connect with, `shown` to be read by people."""

    url: str = field(repr=False)
    shown: str
    passwords: tuple[str, ...] = field(repr=False)
    """The password, as it stands in the URL and as it is meant."""

    def said(self, error: Exception) -> str:
        """Give the first line of what a server or its client said, with no password in it."""
        text = (str(error) or type(error).__name__).splitlines()[0]
        for password in self.passwords:
            text = text.replace(password, "***")
        return text


class Unreachable(Exception):
    """The register did not answer, or not with what was asked for; the text says why, without passwords."""


class Register(Protocol):
    """Where the leases of one account are written down. Blocks; used by one thread at a time."""

    address: Address

    def claim(self, owner: str, number: int, claims: Sequence[Claim]) -> list[Standing]:
        """Write down what can be had of each claim: up to `hold`, never fewer than the owner held, if it asks for as many.

        All owners' seats together are never more than the highest `most` among them. Claims that were sent before the owner's
        latest, as their `number` tells, come too late and change nothing. Raises `Unreachable`.
        """
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...
