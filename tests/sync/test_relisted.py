"""Many objects to be read again cost pages of their list, not a request each; and end as the account has them all the same."""

from pathlib import Path

from equality import differences
from mirroring import World
from sync.odd import world

from stripe_assets.simulator.account import Account

OLD = "2020-08-27"
"""An API version whose payloads cannot become rows."""


def caught_up(here: World, name: str) -> list[dict[str, str]]:
    """Sync, and give the parameters of the requests for a type's list."""
    before = len(here.app.requests)
    assert here.sync((name,)).complete
    assert differences(here.database, here.account, types=(name,)) == []
    asked = here.app.requests[before:]
    assert not [request.path for request in asked if request.path.startswith(f"/v1/{name}/")], "none by itself"
    return [request.params for request in asked if request.path == f"/v1/{name}"]


def edit_all(account: Account, kind: str, *, most: int) -> None:
    account.tell(version=OLD)
    for thing in account.objects(kind)[:most]:
        account.edit(kind, thing["id"], metadata={"changed": "yes"})
    account.advance(days=0.1)


def test_changed_objects_that_lie_together_are_listed(tmp_path: Path) -> None:
    here = world(tmp_path, customers=120)
    here.sync(("charges",))
    edit_all(here.account, "charge", most=150)
    lists = caught_up(here, "charges")
    assert 2 <= len(lists) <= 4
    assert all({"created[gte]", "created[lte]"} <= params.keys() for params in lists)


def test_list_that_knows_no_times_is_read_whole_where_more_has_changed_than_it_has_pages(tmp_path: Path) -> None:
    """A hundred payment methods one by one, of which the list has two pages."""
    here = world(tmp_path, customers=120)
    here.sync(("payment_methods",))
    edit_all(here.account, "payment_method", most=100)
    assert len(caught_up(here, "payment_methods")) <= 3


def test_few_changed_objects_are_read_by_themselves(tmp_path: Path) -> None:
    here = world(tmp_path, customers=150)
    here.sync(("payment_methods",))
    here.account.tell(version=OLD)
    here.account.edit("payment_method", here.account.objects("payment_method")[0]["id"], metadata={"changed": "yes"})
    before = len(here.app.requests)
    assert here.sync(("payment_methods",)).complete
    pages = [request.params for request in here.app.requests[before:] if request.path == "/v1/payment_methods"]
    assert pages == [{"limit": "1"}], "only whether the list may be read at all"
    assert differences(here.database, here.account, types=("payment_methods",)) == []
