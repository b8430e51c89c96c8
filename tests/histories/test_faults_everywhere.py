"""Each fault at each request, once and for ever, and pairs of faults: as many of them as there are to be histories."""

import random
from pathlib import Path

from faults.lasting import assert_told_and_mended
from faults.pairs import pairs
from faults.small import BEGIN, WHOLE, assert_equal_at_the_price_of_what_failed, without_faults

from stripe_assets.simulator.faults import NAMES, Place

SEED = 20261122
KINDS = 3


def places() -> list[tuple[str, int, str]]:
    """Give every request of both syncs with every fault, shuffled."""
    found = [(which, number, fault) for which in BEGIN for number in range(1, len(without_faults(which)) + 1) for fault in NAMES]
    random.Random(SEED).shuffle(found)
    return found


def test_faults_leave_the_mirror_equal_or_told(tmp_path: Path, faulty: int) -> None:
    """One fault once, one that lasts, or two: by turns, without repeating any before all were had."""
    kind, turn = faulty % KINDS, faulty // KINDS
    match kind:
        case 0:
            which, number, fault = places()[turn % len(places())]
            _once(tmp_path, which, {number: fault})
        case 1:
            lasting = [place for place in places() if place[2] not in WHOLE]
            assert_told_and_mended(tmp_path, *lasting[-1 - turn % len(lasting)])
        case _:
            pair = pairs(SEED + turn // len(NAMES) ** 2)[turn % len(NAMES) ** 2]
            _once(tmp_path, pair.which, pair.plan)


def _once(folder: Path, which: str, plan: dict[Place, str]) -> None:
    told = BEGIN[which](folder)
    told.sync(plan)
    assert told.world.app.faults.struck, plan
    assert_equal_at_the_price_of_what_failed(told, which)
