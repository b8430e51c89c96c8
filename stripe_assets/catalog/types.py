"""The kinds of Stripe object that are mirrored, and how each may be asked for.

A new type is a new entry of `types.toml`: assets, tables, checks and dbt sources follow from it.
How to fetch belongs in `sync`, how to store in `warehouse`.
"""

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote


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


KINDS = {"string": Kind.TEXT, "decimal": Kind.TEXT, "object": Kind.JSON, "array": Kind.JSON, "map": Kind.JSON, "list": Kind.JSON}


class Fresh(StrEnum):
    """How a later sync finds the objects of a type that are new."""

    EVENTS = "events"
    CREATED = "created"
    PARENT = "parent"


@dataclass(frozen=True, slots=True)
class Column:
    """A top-level field of an object, under Stripe's name."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Parent:
    """Whose objects a child type belongs to.

    `placeholder` stands for the parent's id in the child's path or query. `embedded` is the parent's field that holds
    the first children, if any. `column` is the child's own column with the parent's id; `stated` says whether the
    object itself carries it.
    """

    type: str
    placeholder: str
    column: str
    stated: bool
    embedded: str | None


@dataclass(frozen=True, slots=True, eq=False)
class ObjectType:
    """One kind of Stripe object: one list endpoint, one table, one asset.

    `path` may hold the parent's placeholder. `endpoint` and `retrieve_endpoint` are the names that a rate limit
    counts by: one for all ids.
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
        return any(column.name == "created" for column in self.columns)

    def list_request(self, parent_id: str | None = None) -> tuple[str, dict[str, str]]:
        """Give path and query of the list, of one parent's objects where the type has a parent."""
        params = dict(self.params)
        if self.parent is None or parent_id is None:
            return self.path, params
        hole = "{" + self.parent.placeholder + "}"
        if hole in self.path:
            return self.path.replace(hole, _in_path(parent_id)), params
        return self.path, {**params, self.parent.placeholder: parent_id}

    def retrieve_request(self, object_id: str) -> str:
        """Give the path that reads one object. Raises `LookupError` where Stripe has none."""
        if self.retrieve_path is None:
            raise LookupError(f"{self.name} cannot be read one by one: they come with their {self.parent and self.parent.type}")
        return self.retrieve_path[: self.retrieve_path.index("{")] + _in_path(object_id)


class Catalog:
    """All object types of one API version, in the order in which people read them.

    Raises `KeyError` for a name that is not a type.
    """

    def __init__(self, api_version: str, types: Iterable[ObjectType], event_types: Iterable[str]) -> None:
        self.api_version = api_version
        self.event_types = tuple(event_types)
        self._by_name = {kind.name: kind for kind in types}
        self._by_object = {kind.object: kind for kind in self._by_name.values()}

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
        """Find the type whose objects say `"object": name`; none where that object is not mirrored."""
        return self._by_object.get(name)

    def children(self, name: str) -> tuple[ObjectType, ...]:
        """List the types whose objects belong to this type's objects."""
        return tuple(kind for kind in self if kind.parent is not None and kind.parent.type == name)

    def with_parents(self, names: Iterable[str]) -> tuple[ObjectType, ...]:
        """Give the named types in catalog order, with the parents that their children are found by."""
        wanted = set(names)
        for kind in reversed(list(self)):
            if kind.name in wanted and kind.parent is not None:
                wanted.add(kind.parent.type)
        return tuple(kind for kind in self if kind.name in wanted)


@cache
def load() -> Catalog:
    """Read the catalog that comes with the package."""
    here = files("stripe_assets.catalog")
    api = json.loads(here.joinpath("api.json").read_text())
    return build(api, tomllib.loads(here.joinpath("types.toml").read_text()))


def build(api: Mapping[str, Any], facts: Mapping[str, Mapping[str, Any]]) -> Catalog:
    """Join the extracted description with the facts written by hand.

    Raises `ValueError` where a fact speaks of something that the description does not have.
    """
    lists = {entry["path"]: entry for entry in api["lists"]}
    types = [_object_type(name, fact, lists, api) for name, fact in facts.items()]
    before: dict[str, ObjectType] = {}
    for kind in types:
        if (wrong := _wrong(kind, before, lists, api)) is not None:
            raise ValueError(f"types.toml: {kind.name}: {wrong}")
        before[kind.name] = kind
    return Catalog(api["api_version"], types, api["event_types"])


def _wrong(kind: ObjectType, before: Mapping[str, ObjectType], lists: Mapping[str, Any], api: Mapping[str, Any]) -> str | None:
    """Say what the facts about a type name that does not exist, or not yet: parents stand before their children."""
    if kind.parent is not None:
        parent = before.get(kind.parent.type)
        if parent is None:
            return f"parent {kind.parent.type} is no type before it"
        if kind.parent.embedded is not None and kind.parent.embedded not in {column.name for column in parent.columns}:
            return f"its parent's objects have no field {kind.parent.embedded}"
    if strangers := set(kind.deleted_by) - set(api["event_types"]):
        return f"no such events: {', '.join(sorted(strangers))}"
    if strangers := set(kind.open) - {column.name for column in kind.columns}:
        return f"its objects have no field {', '.join(sorted(strangers))}"
    if strangers := set(kind.params) - set(lists[kind.path]["query"]):
        return f"{kind.path} knows no parameter {', '.join(sorted(strangers))}"
    return None


def _in_path(object_id: str) -> str:
    """Write an id as one segment of a path: those of coupons, plans and products are the account's own choice."""
    return quote(object_id, safe="")


def type_name(path: str) -> str:
    """Name a type by its path: `/v1/invoices/{invoice}/lines` is `invoice_lines`."""
    words: list[str] = []
    for word in path.split("/")[2:]:
        if word.startswith("{"):
            words[-1] = words[-1].removesuffix("s")
        else:
            words += word.split("_")
    return "_".join(words)


def _object_type(name: str, fact: Mapping[str, Any], lists: Mapping[str, Any], api: Mapping[str, Any]) -> ObjectType:
    path = fact["path"]
    for named in (path, fact.get("alias_of", path)):
        if named not in lists:
            raise ValueError(f"types.toml: {name}: the API description has no list {named}")
    if name != (follows := type_name(fact.get("alias_of", path))):
        raise ValueError(f"types.toml: {name}: by its path it is called {follows}")
    entry = lists[path]
    object_name = entry["objects"][0]
    fields = api["objects"][object_name]["fields"]
    columns = tuple(Column(column, _kind(column, described)) for column, described in fields.items())
    parent = _parent(fact["parent"], entry, fields) if "parent" in fact else None
    if parent is not None and not parent.stated:
        columns += (Column(parent.column, Kind.TEXT),)
    fresh = fact.get("fresh", Fresh.EVENTS)
    if fresh not in tuple(Fresh):
        raise ValueError(f"types.toml: {name}: fresh = {fresh!r} is none of {', '.join(Fresh)}")
    return ObjectType(
        name=name,
        object=object_name,
        group=fact["group"],
        path=path,
        retrieve_path=_retrieve_path(path, api["retrieve"].get(object_name, [])),
        columns=columns,
        created_filter=entry["created_filter"],
        fresh=Fresh(fresh),
        params=fact.get("params", {}),
        open={key: tuple(values) for key, values in fact.get("open", {}).items()},
        deleted_by=tuple(fact.get("deleted_by", ())),
        kept_days=fact.get("kept_days"),
        parent=parent,
    )


def _retrieve_path(list_path: str, candidates: list[str]) -> str | None:
    """Choose the path with the id alone, below the list's own path where there is one (other lists may be aliases)."""
    alone = [path for path in candidates if path.count("{") == 1]
    return min(alone, key=lambda path: (not path.startswith(f"{list_path}/{{"), len(path)), default=None)


def _kind(column: str, described: Mapping[str, Any]) -> Kind:
    named = described["type"]
    return Kind.TEXT if column == "id" else KINDS.get(named) or Kind(named)


def _parent(fact: Mapping[str, Any], entry: Mapping[str, Any], fields: Mapping[str, Any]) -> Parent:
    places = entry["path_params"] or entry["required_query"]
    if not places:
        raise ValueError(f"types.toml: {entry['path']}: the list has no place for a parent's id")
    placeholder = places[0]
    stated = "field" in fact
    if stated and fact["field"] not in fields:
        raise ValueError(f"types.toml: {entry['path']}: its objects have no field {fact['field']}")
    column = fact["field"] if stated else f"{fact['type'].removesuffix('s')}_id"
    return Parent(fact["type"], placeholder, column, stated, fact.get("embedded"))
