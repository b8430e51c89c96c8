"""A sample of events is judged as the sync judges all of them."""

import pytest

from stripe_assets.catalog.types import everything
from stripe_assets.sync.signals import Told, told
from stripe_assets.warehouse.census import Signal

CATALOG = everything()
PINNED = CATALOG.api_version
DAY = 86_400


def signal(created: int, kind: str = "charge.updated", object_id: str = "ch_1", api_version: str | None = PINNED) -> Signal:
    return Signal(created, kind, object_id, api_version)


@pytest.mark.parametrize(
    ("signals", "expected"),
    [
        pytest.param([signal(5)], Told(1, 0), id="one event is the row"),
        pytest.param([signal(5), signal(4)], Told(1, 0), id="the latest is"),
        pytest.param([signal(4), signal(5)], Told(1, 0), id="in any order"),
        pytest.param([signal(5), signal(5, "charge.succeeded")], Told(1, 1), id="two of one second have none"),
        pytest.param([signal(6), signal(5), signal(5)], Told(1, 0), id="unless there is a later one"),
        pytest.param([signal(5, api_version="2020-08-27")], Told(1, 1), id="another version has another shape"),
        pytest.param([signal(5), signal(5, object_id="ch_2")], Told(2, 0), id="each object by itself"),
    ],
)
def test_object_is_read_again_where_its_latest_event_is_not_its_row(signals: list[Signal], expected: Told) -> None:
    assert told(signals, CATALOG) == {"charges": expected}


def test_deleted_object_is_not_read_again() -> None:
    assert told([signal(4, "customer.updated"), signal(5, "customer.deleted")], CATALOG) == {"customers": Told(0, 0)}


def test_event_about_something_else_has_its_object_read_again() -> None:
    assert told([signal(5, "customer.discount.created", "di_1")], CATALOG) == {"customers": Told(1, 1)}


def test_what_cannot_be_read_by_its_id_is_not() -> None:
    without = next(kind for kind in CATALOG if kind.events and kind.retrieve_path is None)
    assert told([signal(5, without.events[0]), signal(5, without.events[0])], CATALOG) == {without.name: Told(1, 0)}


def test_events_that_tell_of_nothing_mirrored_are_left_out() -> None:
    assert told([signal(5, "mandate.updated")], CATALOG) == {}


def test_what_was_applied_before_is_left_out() -> None:
    assert told([signal(5), signal(6, object_id="ch_2")], CATALOG, since={"charges": 5}) == {"charges": Told(1, 0)}


def test_each_stretch_is_judged_as_if_a_sync_stood_between_them() -> None:
    """An object that changes every day is read every night."""
    days = [signal(day * DAY + hour) for day in range(3) for hour in (1, 2)]
    assert told(days, CATALOG)["charges"].changed == 1
    assert told(days, CATALOG, stretch=DAY)["charges"].changed == 3
