"""Two faults in one sync: one after the other, or both of the same request."""

import random
from dataclasses import dataclass
from itertools import product

from faults.small import without_faults

from stripe_assets.simulator.faults import NAMES, Place


@dataclass(frozen=True)
class Pair:
    """Two faults, and the requests that meet them."""

    which: str
    faults: tuple[str, str]
    plan: dict[Place, str]

    def __str__(self) -> str:
        return f"{self.which} {self.plan}"


def pairs(seed: int) -> list[Pair]:
    """Give every ordered pair of faults once, by chance at adjoining requests, at any two, or at the same one twice; shuffled."""
    chance = random.Random(seed)
    found = [_pair(first, second, chance) for first, second in product(NAMES, repeat=2)]
    chance.shuffle(found)
    return found


def _pair(first: str, second: str, chance: random.Random) -> Pair:
    which = chance.choice(["first", "second"])
    requests = without_faults(which)
    number = chance.randrange(1, len(requests))
    match chance.choice(["next to each other", "anywhere", "the same"]):
        case "next to each other":
            return Pair(which, (first, second), {number: first, number + 1: second})
        case "anywhere":
            return Pair(which, (first, second), {number: first, chance.randint(number + 1, len(requests)): second})
    request = requests[number - 1]
    return Pair(which, (first, second), {(request, 1): first, (request, 2): second})
