"""The catalog's facts are enough to read all that a simulated account has, and the simulator serves all that the catalog names.

The two share no code and no list: what one of them has misread, the other shows.
"""

import json
import re
from collections import Counter
from typing import Any

import pytest
from naive import Reader, Refused, get

from stripe_assets.catalog.extract import API
from stripe_assets.catalog.types import Form, Fresh, ObjectType, load
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.endpoints import routes
from stripe_assets.simulator.http import Application, application

NOW = 1_790_000_123
DESCRIPTION: dict[str, Any] = json.loads(API.read_text())
PATHS = {entry["path"]: entry for entry in DESCRIPTION["lists"]}
UNSERVED = {path for path in PATHS if path.endswith("/search")} | {"/v1/credit_notes/preview/lines"}
"""Lists that nobody reads who wants everything."""


@pytest.fixture(scope="module")
def app() -> Application:
    """An account large enough to have something of everything."""
    account = Account(seed=3, customers=150, now=NOW)
    account.create("customer", test_clock=account.objects("test_helpers.test_clock")[0]["id"])
    account.create("payment_method", type="custom", customer=None)
    return application(account)


@pytest.fixture(scope="module")
def reader(app: Application) -> Reader:
    """What can be read of it by the catalog."""
    reader = Reader(app, load())
    reader.read()
    return reader


@pytest.mark.parametrize("kind", list(load()), ids=lambda kind: kind.name)
def test_everything_that_the_account_has_is_found_by_the_facts(app: Application, reader: Reader, kind: ObjectType) -> None:
    """Each object once, below the parent that it belongs to, and nothing that is not there."""
    found = Counter((place if kind.parent else None, thing.get("id")) for place, thing in reader.found[kind.name])
    placed = [(under if kind.parent else None, thing) for under, thing in app.account.placed(kind.path)]
    wanted = Counter((under, thing.get("id")) for under, thing in placed if kind.parent is None or under is not None)
    assert found == wanted
    assert found


@pytest.mark.parametrize("kind", list(load()), ids=lambda kind: kind.name)
def test_objects_have_the_fields_of_their_type_and_no_others(reader: Reader, kind: ObjectType) -> None:
    """A field that the description lacks is a column that nobody has."""
    columns = {column.name for column in kind.columns}
    shown = {name for _, thing in reader.found[kind.name] for name in thing}
    assert shown <= columns
    assert {thing["object"] for _, thing in reader.found[kind.name]} <= set(kind.objects)


@pytest.mark.parametrize("kind", list(load()), ids=lambda kind: kind.name)
def test_what_can_be_read_alone_is_the_same_as_in_its_list(app: Application, reader: Reader, kind: ObjectType) -> None:
    if kind.retrieve_path is None or not reader.found[kind.name]:
        return
    place, thing = reader.found[kind.name][-1]
    expand = [path.removeprefix("data.") for path in load().expansions(kind.name, load().names)]
    assert get(app, kind.retrieve_request(thing["id"], place), {"expand[]": expand} if expand else None) == thing


def test_parents_that_contain_their_children_spare_the_requests(reader: Reader) -> None:
    """One for each parent whose list is cut short, and none for the others."""
    for kind in load():
        if kind.parent is None or kind.parent.embedded is None:
            continue
        long = Counter(place for place, _ in reader.found[kind.name])
        rest = sum(-(-(number - 10) // 100) for number in long.values() if number > 10)
        assert reader.asked.get(kind.name, 0) == rest, kind.name


def test_there_are_lists_of_eleven_and_of_250_inside_their_parents(reader: Reader) -> None:
    """The shortest that is cut, and one of three pages: where mirrors lose the rest."""
    lengths = {
        kind.name: set(Counter(place for place, _ in reader.found[kind.name]).values())
        for kind in load()
        if kind.parent is not None and kind.parent.embedded is not None
    }
    for name in ("customer_sources", "customer_tax_ids", "payment_link_line_items", "quote_line_items", "radar_value_list_items"):
        assert {11, 250} <= lengths[name], name


@pytest.mark.parametrize("path", sorted(PATHS.keys() - UNSERVED))
def test_simulator_serves_every_list_of_the_description(path: str) -> None:
    """With the query that the description names, and the placeholders under its names."""
    endpoint = next(each for each in routes().all() if each.path == path)
    assert endpoint.form == "list"
    assert endpoint.query == set(PATHS[path]["query"])
    assert (endpoint.pages == "token", endpoint.pages == "none") == ("page" in PATHS[path]["query"], not PATHS[path]["pageable"])


def test_simulator_serves_nothing_that_the_description_lacks() -> None:
    described = {*PATHS, *(entry["path"] for entry in DESCRIPTION["singles"])}
    described |= {path for paths in DESCRIPTION["retrieve"].values() for path in paths}
    assert {each.path for each in routes().all()} <= described
    assert {each.path for each in routes().all() if each.form == "list"} == PATHS.keys() - UNSERVED


def test_simulator_reads_every_object_alone_that_stripe_does() -> None:
    """Left out: what has no list, so that nobody learns its id."""
    served = {each.path for each in routes().all() if each.form == "retrieve"}
    listed = {name for entry in PATHS.values() for name in entry["objects"]}
    wanted = {path for name, paths in DESCRIPTION["retrieve"].items() if name in listed for path in paths}
    assert wanted == served


@pytest.mark.parametrize("path", sorted(path for path, entry in PATHS.items() if entry["required_query"] and path not in UNSERVED))
def test_required_parameters_are_required(app: Application, path: str) -> None:
    with pytest.raises(Refused) as refused:
        get(app, re.sub(r"{\w+}", "none", path))
    status, error = refused.value.args
    assert (status, error["type"]) in ((400, "invalid_request_error"), (404, "invalid_request_error"))
    if status == 400:
        assert (error["code"], error["param"] in PATHS[path]["required_query"]) == ("parameter_missing", True)


def test_types_are_either_lists_or_single(app: Application, reader: Reader) -> None:
    """A single object is read once a sync: it has no page, and often no id."""
    singles = [kind for kind in load() if kind.form is Form.SINGLE and kind.parent is None]
    assert {kind.name: len(reader.found[kind.name]) for kind in singles} == dict.fromkeys((kind.name for kind in singles), 1)
    assert reader.found["account"][0][1]["id"] == app.account.id


def test_every_change_can_be_known_by_what_keeps_its_type_fresh() -> None:
    """An event, a place at the head of the list, a parent that is read again: a change that nothing tells of would be missed for ever.

    What is read whole again may change as it likes.
    """
    account = Account(seed=8, customers=150, now=NOW)
    catalog = load()
    state = {kind.name: _state(account, kind) for kind in catalog}
    unknowable = []
    for _ in range(30):
        seen = {event["id"] for event in account.objects("event")}
        account.advance(1)
        news = [event for event in account.objects("event") if event["id"] not in seen]
        told = {(kind.name, _about(kind, event)) for event in news if (kind := catalog.of_event(event["type"])) is not None}
        changed: set[tuple[str, str]] = set()
        for kind in catalog:
            before, state[kind.name] = state[kind.name], _state(account, kind)
            differing = {key for key in before.keys() | state[kind.name].keys() if before.get(key) != state[kind.name].get(key)}
            for place, object_id in differing:
                changed.add((kind.name, object_id))
                if not _known(kind, before, (place, object_id), told, changed):
                    unknowable.append((kind.name, object_id))
    assert unknowable == []
    assert {name for name, _ in changed}


State = dict[tuple[str | None, str], dict[str, Any]]


def _state(account: Account, kind: ObjectType) -> State:
    placed = [(place if kind.parent else None, thing) for place, thing in account.placed(kind.path)]
    return {(place, thing.get("id", "")): _own(thing) for place, thing in placed if kind.parent is None or place is not None}


def _own(thing: dict[str, Any]) -> dict[str, Any]:
    """Of embedded lists only who is in them: what becomes of those is told by their own type."""
    return {name: [each["id"] for each in value["data"]] if _is_list(value) else value for name, value in thing.items()}


def _is_list(value: object) -> bool:
    return isinstance(value, dict) and value.get("object") == "list"


def _about(kind: ObjectType, event: dict[str, Any]) -> str:
    shown = event["data"]["object"]
    found: str = shown.get(kind.told_of.get(event["type"], "id"), "")
    return found


def _known(kind: ObjectType, before: State, key: tuple[str | None, str], told: set[tuple[str, str]], changed: set[tuple[str, str]]) -> bool:
    place, object_id = key
    if (kind.name, object_id) in told or kind.fresh is Fresh.REFRESH:
        return True
    was = before.get(key)
    if was is not None and any(_text(was.get(name)) in (values or ("None",)) for name, values in kind.open.items()):
        return True
    if kind.fresh is Fresh.CREATED:
        return was is None or kind.kept_days is not None
    if kind.parent is None or place is None:
        return False
    # Either it came with a parent that is new or has changed, or went with one; those stand before it in the catalog.
    above = place.split("/")[0]
    return (kind.parent.type, above) in changed | told or kind.parent.ids is not None


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)
