"""Whatever has failed: the dead letters bring all of it."""

import random
from pathlib import Path

import pytest
from equality import differences
from mirroring import FEW
from sync.altered import failing
from sync.test_redrive import ALWAYS, BELOW, again, alter, letters, world

from stripe_assets.catalog.types import load


@pytest.mark.parametrize("seed", range(4))
def test_after_many_faults_the_letters_bring_everything(tmp_path: Path, seed: int) -> None:
    """Whatever has failed, in a first sync or in a later one: once Stripe is well, trying the letters again makes the mirror whole."""
    chance, here = random.Random(seed), world(tmp_path, customers=25)
    types = (*FEW, BELOW, "customer_tax_ids")
    paths = {load()[name].path for name in types} - ALWAYS
    people = [thing["id"] for thing in here.account.objects("customer")]
    below = [f"/v1/customers/{name}/{last}" for name in people for last in ("balance_transactions", "tax_ids")]
    possible = sorted([*(path for path in paths if "{" not in path), *below])
    for turn in range(2):
        alter(here, dict.fromkeys(chance.sample(possible, 12), failing))
        here.sync(types)
        assert letters(here) or turn, "a later sync may not have asked for any of them"
        here.account.advance(days=1)
        alter(here, {})
        if letters(here):
            assert again(here).complete
        assert letters(here) == []
    assert here.sync(types).complete
    assert differences(here.database, here.account, types=types) == []
