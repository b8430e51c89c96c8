"""The kinds of Stripe object that are mirrored, and how each may be asked for.

A new type is a new entry of `types.toml`: assets, tables, checks and dbt sources follow from it. How the entries are
joined with Stripe's description belongs in `facts`, how to fetch in `sync`, how to store in `warehouse`.
"""

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from stripe_assets.catalog.conditions import Condition, parse
from stripe_assets.catalog.facts import endpoints, events_of, merged_fields, retrieve_path, told_of, type_name, unaccounted


class Kind(StrEnum):
    """What a column holds, before any database's own names for it."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"  # seconds since 1970
    TIMESTAMP_TEXT = "timestamp_text"  # ISO 8601, as v2 endpoints write it
    ID = "id"  # a reference: the id, or the object itself where it was expanded
    JSON = "json"


FACTS = {
    "also_with", "deleted_by", "events", "fallback", "form", "fresh", "group", "hidden_under", "kept_days", "keyed_by_parent", "open",
    "own_ids", "params", "parent", "partial", "path", "remains", "tested", "told_of", "window",
}  # fmt: skip
"""What `types.toml` may say about a type; what it means stands there."""

# A decimal stays text, because a number would lose digits.
KINDS = {"string": Kind.TEXT, "decimal": Kind.TEXT, "object": Kind.JSON, "array": Kind.JSON, "map": Kind.JSON, "list": Kind.JSON}


class Form(StrEnum):
    """What a request for a type is answered with."""

    LIST = "list"
    SINGLE = "single"  # one object, which may have no id


class Paging(StrEnum):
    """How the next page of a list is asked for."""

    CURSOR = "cursor"  # v1: `starting_after` the last id, while `has_more`
    TOKEN = "token"  # v2: `page` out of `next_page_url`, while there is one; no `expand`, times as ISO 8601
    NONE = "none"  # all at once, and no `limit` either


class Fresh(StrEnum):
    """How a later sync finds the objects of a type that are new or have changed."""

    EVENTS = "events"
    CREATED = "created"
    PARENT = "parent"
    REFRESH = "refresh"


@dataclass(frozen=True, slots=True)
class Column:
    """A top-level field of an object, under Stripe's name."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Parent:
    """Whose objects a child type belongs to.

    `placeholder` stands for the parent's id in the child's path or query. `embedded` is the parent's field that holds
    the first children, if any (`computed.upfront.line_items` lies deeper); `expand` says that it is there only on request.
    `column` is the child's own column with the parent's id; `stated` says whether the object itself carries it.

    `only` the parents for which the condition holds can have children, and none that is deleted. `ids` is where in the
    parent the placeholder's value stands, if that is not its id: a path of names, `[*]` for every element of an array.
    `given` maps further parameters to the parent's columns, `each` to types whose every id is asked with (the child has
    a column `<parameter>_id` for it where the object does not say it). Without a row of `needs` no parent has children.
    """

    type: str
    placeholder: str
    column: str
    stated: bool
    embedded: str | None
    expand: bool = False
    only: Condition | None = None
    ids: str | None = None
    given: Mapping[str, str] = field(default_factory=dict)
    each: Mapping[str, str] = field(default_factory=dict)
    needs: str | None = None


@dataclass(frozen=True, slots=True)
class Hidden:
    """Objects that belong to one of `type` are in a list only if `param` names it."""

    type: str
    param: str


@dataclass(frozen=True, slots=True, eq=False)
class ObjectType:
    """One kind of Stripe object: one list endpoint, one table, one asset. What the facts mean stands in `types.toml`.

    `path` may hold the parent's placeholder. `endpoint` and `retrieve_endpoint` are the names that a rate limit
    counts by: one for all ids. `objects` are the values of `object` that the list may hold, mostly one. `created_filter`
    means `created[gte]` and its like, in seconds, for v2 in ISO 8601. `told_of` maps event types to a field of their object.
    """

    name: str
    object: str
    group: str
    path: str
    retrieve_path: str | None
    columns: tuple[Column, ...]
    created_filter: bool
    fresh: Fresh
    params: Mapping[str, str]
    open: Mapping[str, tuple[str, ...]]
    deleted_by: tuple[str, ...]
    kept_days: int | None
    parent: Parent | None
    objects: tuple[str, ...]
    tested: str
    form: Form
    paging: Paging
    events: tuple[str, ...]
    told_of: Mapping[str, str]
    also_with: tuple[Mapping[str, str], ...]
    hidden_under: Hidden | None
    partial: bool
    keyed_by_parent: bool
    own_ids: bool
    remains: bool
    window: tuple[str, str] | None
    fallback: "ObjectType | None"

    @property
    def endpoint(self) -> str:
        """The list's name to a rate limit, for example `GET /v1/charges`."""
        return f"GET {self.path}"

    @property
    def retrieve_endpoint(self) -> str:
        """The name to a rate limit of reading one object, for example `GET /v1/charges/{charge}`."""
        return f"GET {self.retrieve_path}"

    @property
    def has_created(self) -> bool:
        """Whether the objects say when they were created."""
        return self.has("created")

    def has(self, column: str) -> bool:
        """Say whether the objects have a field."""
        return any(each.name == column for each in self.columns)

    def list_request(self, parent_id: str | None = None, further: Mapping[str, str] | None = None) -> tuple[str, dict[str, str]]:
        """Give path and query of the list, of one parent's objects where the type has a parent.

        `further` are the parameters that the parent's `given` and `each` and the type's `window` call for.
        """
        params = {**self.params, **(further or {})}
        if self.parent is None or parent_id is None:
            return self.path, params
        hole = "{" + self.parent.placeholder + "}"
        if hole in self.path:
            return self.path.replace(hole, _in_path(parent_id)), params
        return self.path, {**params, self.parent.placeholder: parent_id}

    def retrieve_request(self, object_id: str, parent_id: str | None = None) -> str:
        """Give the path that reads one object. Raises `LookupError` where Stripe has none, or none without the parent's id."""
        if self.retrieve_path is None:
            raise LookupError(f"{self.name} cannot be read one by one: they come with their {self.parent and self.parent.type}")
        *before, head = self.retrieve_path[: self.retrieve_path.rindex("{")].split("}")
        if before and parent_id is None:
            raise LookupError(f"{self.name} {object_id} cannot be read without the id of its {self.parent and self.parent.type}")
        return (before[0][: before[0].index("{")] + _in_path(parent_id or "") if before else "") + head + _in_path(object_id)


class Catalog:
    """All object types of one API version, in the order in which people read them.

    Raises `KeyError` for a name that is not a type.
    """

    def __init__(self, api_version: str, types: Iterable[ObjectType], event_types: Iterable[str]) -> None:
        self.api_version = api_version
        self.event_types = tuple(event_types)
        self._by_name = {kind.name: kind for kind in types}
        self._by_object: dict[str, ObjectType] = {}
        self._by_event: dict[str, ObjectType] = {}
        for kind in self._by_name.values():
            for name in kind.objects:
                self._by_object.setdefault(name, kind)
            self._by_event |= dict.fromkeys((*kind.events, *kind.told_of), kind)

    def __iter__(self) -> Iterator[ObjectType]:
        return iter(self._by_name.values())

    def __getitem__(self, name: str) -> ObjectType:
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    @property
    def names(self) -> tuple[str, ...]:
        """Every type's name."""
        return tuple(self._by_name)

    def of_object(self, name: str) -> ObjectType | None:
        """Find the first type whose objects say `"object": name`; none where that object is not mirrored."""
        return self._by_object.get(name)

    def of_event(self, name: str) -> ObjectType | None:
        """Find the type that an event type tells of, by its object or by `told_of`; none where nothing mirrored changes."""
        return self._by_event.get(name)

    def children(self, name: str) -> tuple[ObjectType, ...]:
        """List the types whose objects belong to this type's objects."""
        return tuple(kind for kind in self if kind.parent is not None and kind.parent.type == name)

    def expansions(self, name: str, selected: Iterable[str]) -> tuple[str, ...]:
        """Give what the type's list is asked to expand, so that the selected children come with it: `data.line_items`."""
        wanted = set(selected)
        found = (child.parent for child in self.children(name) if child.name in wanted)
        return tuple(f"data.{parent.embedded}" for parent in found if parent is not None and parent.expand)

    def with_parents(self, names: Iterable[str]) -> tuple[ObjectType, ...]:
        """Give the named types in catalog order, with the types that their children are found by."""
        wanted = set(names)
        for kind in reversed(list(self)):
            if kind.name in wanted and kind.parent is not None:
                wanted |= {kind.parent.type, *kind.parent.each.values(), *filter(None, [kind.parent.needs])}
        return tuple(kind for kind in self if kind.name in wanted)


@cache
def load() -> Catalog:
    """Read the catalog that comes with the package: every type is mirrored."""
    here = files("stripe_assets.catalog")
    api = json.loads(here.joinpath("api.json").read_text())
    facts, left_out = (tomllib.loads(here.joinpath(name).read_text()) for name in ("types.toml", "left_out.toml"))
    catalog = build(api, facts)
    if (forgotten := unaccounted(api, facts, left_out)) is not None:
        raise ValueError(forgotten)
    return catalog


def build(api: Mapping[str, Any], facts: Mapping[str, Mapping[str, Any]]) -> Catalog:
    """Join the extracted description with the facts written by hand.

    Raises `ValueError` where a fact speaks of something that the description does not have.
    """
    types = [_object_type(name, fact, api) for name, fact in facts.items()]
    before: dict[str, ObjectType] = {}
    for kind in types:
        if (wrong := _wrong(kind, before, api)) is not None:
            raise ValueError(f"types.toml: {kind.name}: {wrong}")
        before[kind.name] = kind
    return Catalog(api["api_version"], types, api["event_types"])


def _wrong(kind: ObjectType, before: Mapping[str, ObjectType], api: Mapping[str, Any]) -> str | None:
    """Say what the facts about a type name that does not exist, or not yet: parents stand before their children."""
    for parent in (kind.parent, kind.fallback.parent if kind.fallback else None):
        if parent is not None and (wrong := _wrong_parent(parent, before)) is not None:
            return wrong
    if strangers := set(kind.deleted_by) - set(api["event_types"]):
        return f"no such events: {', '.join(sorted(strangers))}"
    if strangers := {name for name in kind.open if not kind.has(name)}:
        return f"its objects have no field {', '.join(sorted(strangers))}"
    known = endpoints(api)[kind.path]
    asked = {name.partition("[")[0] for params in (kind.params, *kind.also_with) for name in params}
    hidden = {kind.hidden_under.param} if kind.hidden_under else set()
    if strangers := (asked | hidden) - set(known["query"]):
        return f"{kind.path} knows no parameter {', '.join(sorted(strangers))}"
    from_parent = {kind.parent.placeholder, *kind.parent.given, *kind.parent.each} if kind.parent else set()
    if missing := set(known["required_query"]) - asked - from_parent - set(kind.window or ()):
        return f"{kind.path} requires {', '.join(sorted(missing))}"
    return None


def _wrong_parent(mine: Parent, before: Mapping[str, ObjectType]) -> str | None:
    for name in (mine.type, *mine.each.values(), *filter(None, [mine.needs])):
        if name not in before:
            return f"parent {name} is no type before it"
    fields = {mine.embedded, mine.ids, mine.only and mine.only.column, *mine.given.values()} - {None}
    for path in sorted(str(each) for each in fields):
        if not before[mine.type].has(name := path.partition(".")[0].removesuffix("[*]")):
            return f"its parent's objects have no field {name}"
    return None


def _in_path(object_id: str) -> str:
    """Write an id as one segment of a path: those of coupons, plans and products are the account's own choice."""
    return quote(object_id, safe="")


def _object_type(name: str, fact: Mapping[str, Any], api: Mapping[str, Any]) -> ObjectType:
    """Make a type of its facts and of what the description says about its path."""
    if strangers := fact.keys() - FACTS:
        raise ValueError(f"types.toml: {name}: there is no fact {', '.join(f'{key} = {fact[key]!r}' for key in sorted(strangers))}")
    path, lists = fact["path"], endpoints(api)
    for named in (path, fact.get("fallback", {}).get("path", path)):
        if named not in lists:
            raise ValueError(f"types.toml: {name}: the API description has no list {named}")
    if name != (follows := type_name(path, fact.get("parent", {}).get("by"))):
        raise ValueError(f"types.toml: {name}: by its path it is called {follows}")
    entry = lists[path]
    fields = merged_fields(entry["objects"], api)
    columns = tuple(Column(column, _kind(column, described)) for column, described in fields.items())
    if "id" not in fields:
        columns = (Column("id", Kind.TEXT), *columns)  # of a single object: the mirror makes one
    try:
        parent = _parent(fact["parent"], entry, fields) if "parent" in fact else None
        events = events_of(fact.get("events", ()), api["event_types"])
        fresh, form = Fresh(fact.get("fresh", Fresh.EVENTS)), Form(fact.get("form", Form.LIST))
    except ValueError as error:
        raise ValueError(f"types.toml: {name}: {error}") from error
    if parent is not None:
        added = [*([] if parent.stated else [parent.column]), *(f"{param}_id" for param in parent.each if param not in fields)]
        columns += tuple(Column(column, Kind.TEXT) for column in added)
    kind = ObjectType(
        name=name,
        object=entry["objects"][0],
        objects=tuple(entry["objects"]),
        group=fact["group"],
        tested=fact["tested"],
        path=path,
        retrieve_path=retrieve_path(path, entry["objects"], api) if form is Form.LIST else None,
        columns=columns,
        created_filter=entry["created_filter"] and "created_gte" not in entry["query"],  # one list has another parameter for each bound
        form=form,
        paging=Paging.TOKEN if "page" in entry["query"] else Paging.CURSOR if entry["pageable"] else Paging.NONE,
        fresh=fresh,
        events=events,
        told_of=told_of(fact, api["event_types"]),
        params=fact.get("params", {}),
        also_with=tuple(fact.get("also_with", ())),
        hidden_under=Hidden(**fact["hidden_under"]) if "hidden_under" in fact else None,
        partial=fact.get("partial", False),
        keyed_by_parent=fact.get("keyed_by_parent", False),
        own_ids=fact.get("own_ids", False),
        remains=fact.get("remains", False),
        window=tuple(fact["window"]) if "window" in fact else None,
        open={key: tuple(values) for key, values in fact.get("open", {}).items()},
        deleted_by=tuple(fact.get("deleted_by", ())),
        kept_days=fact.get("kept_days"),
        parent=parent,
        fallback=None,
    )
    if "fallback" not in fact:
        return kind
    below = fact["fallback"]
    return replace(kind, fallback=replace(kind, path=below["path"], also_with=(), parent=_parent(below, lists[below["path"]], fields)))


def _kind(column: str, described: Mapping[str, Any]) -> Kind:
    named = described["type"]
    return Kind.TEXT if column == "id" else KINDS.get(named) or Kind(named)


def _parent(fact: Mapping[str, Any], entry: Mapping[str, Any], fields: Mapping[str, Any]) -> Parent:
    places = [fact["by"]] if "by" in fact else entry["path_params"] or entry["required_query"]
    if not places:
        raise ValueError(f"{entry['path']}: the list has no place for a parent's id")
    placeholder = places[0]
    stated = "field" in fact
    if stated and fact["field"] not in fields:
        raise ValueError(f"{entry['path']}: its objects have no field {fact['field']}")
    owner = placeholder if "ids" in fact else fact["type"].removesuffix("s")
    return Parent(
        type=fact["type"],
        placeholder=placeholder,
        column=fact["field"] if stated else f"{owner}_id",
        stated=stated,
        embedded=fact.get("embedded"),
        expand=fact.get("expand", False),
        only=parse(fact["only"]) if "only" in fact else None,
        ids=fact.get("ids"),
        given=fact.get("given", {}),
        each=fact.get("each", {}),
        needs=fact.get("needs"),
    )
