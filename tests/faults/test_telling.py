"""However Stripe tells of changes, the mirror equals the account: twice, backwards, in an old shape, late, and all of it at once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults.small import History, change, first, second

from stripe_assets.simulator.account import Account

LATE = 30
"""Seconds until all is visible; the mirror looks a minute back."""
WAYS: dict[str, dict[str, Any]] = {
    "twice": {"twice": True},
    "backwards": {"backwards": True},
    "in an old shape": {"version": "2020-08-27"},
    "late": {"late": LATE},
    "all at once": {"twice": True, "backwards": True, "version": "2020-08-27", "late": LATE},
}


def untold(_account: Account) -> None:
    """Change nothing."""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("begin", "also"), [(first, change), (second, untold)], ids=["while lists are read", "while it catches up"])
def test_changes_arrive_however_they_are_told(
    tmp_path: Path, way: str, begin: Callable[[Path], History], also: Callable[[Account], None]
) -> None:
    """Two edits within a second, deletions and new objects: what was not visible yet is there after the next sync."""
    history = begin(tmp_path)
    account = history.world.account
    account.tell(**WAYS[way])
    account.edit("coupon", account.objects("coupon")[0]["id"], name="first")
    account.edit("coupon", account.objects("coupon")[0]["id"], name="second")
    also(account)
    for _ in range(8):  # so that some of an earlier second is seen only after some of a later one
        account.create("coupon", percent_off=3)
        account.advance(days=LATE / 10 / 86_400)
    account.edit("customer", account.objects("customer")[0]["id"], email="last@example.com")
    account.create("coupon", percent_off=7)
    assert history.sync().complete
    account.advance(days=2 * LATE / 86_400)
    assert history.sync().complete
    assert history.differences() == []
