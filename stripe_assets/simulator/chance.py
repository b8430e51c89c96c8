"""Seeded chance: random draws, ids that look like Stripe's, and shares that hold in small accounts too."""

import base64
import random

_TO_LETTERS = bytes.maketrans(b"+/", b"Zk")


class Chance:
    """All chance of one account; the same seed and the same questions give the same answers."""

    def __init__(self, seed: int | str) -> None:
        self.random = random.Random(seed)
        self._due: dict[str, float] = {}

    def id(self, prefix: str, length: int = 24) -> str:
        """Give a new id; ids do not sort by time."""
        letters = base64.b64encode(self.random.randbytes(length * 3 // 4 + 3)).translate(_TO_LETTERS)
        return prefix + letters[:length].decode()

    def strikes(self, fate: str, share: float) -> bool:
        """Say whether `fate` falls on this case, so that close to `share` of all cases are struck.

        It adds up instead of throwing a coin: an account of 200 customers has its disputes too.
        """
        due = self._due.get(fate, 0.7) + share * (0.5 + self.random.random())
        self._due[fate] = due - 1 if due >= 1 else due
        return due >= 1

    def between(self, low: int, high: int) -> int:
        """Give an integer in `low <= n <= high`."""
        return self.random.randint(low, high)
