"""Leaves private fields out of objects, or hashes them, before anything is written: what is not in the file cannot get out of it.

The objects' JSON itself is changed, wherever it is going: typed columns, nested JSON, `_raw`, events' payloads and dead letters
all come from it. Which objects are stored how belongs in `writer`.
"""

import difflib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import duckdb
import msgspec

from stripe_assets.catalog.types import Catalog, Column, Kind, ObjectType
from stripe_assets.errors import ConfigurationError
from stripe_assets.warehouse.deliveries import Changes, Delivery, Objects
from stripe_assets.warehouse.migrations import Change

EXCLUDE, HASH, KEY = "STRIPE_EXCLUDE_COLUMNS", "STRIPE_HASH_COLUMNS", "STRIPE_HASH_KEY"
"""The settings, by the names that people know them by."""
SHORTEST_KEY = 16
"""Letters of a key: whoever can guess it can find out a hashed email address by trying all that there are."""
NEEDED = frozenset({"id", "object", "created", "deleted"})
"""What the mirror knows objects by."""
EVENT, NEEDED_OF_EVENTS = "event", frozenset({"type", "api_version", "data"})
"""What it knows changes by."""
WITHHELD = msgspec.Raw(b'"withheld, as it may be private"')
"""Stands for what cannot be read, and so cannot be cleaned: it becomes a dead letter, as it would have without."""
SUBJECT = "private columns"

Path = tuple[str, ...]
_decoder = msgspec.json.Decoder(float_hook=lambda digits: msgspec.Raw(digits.encode()))
"""Numbers keep the digits that they came with."""


class Act(StrEnum):
    """What is done with a private field."""

    LEAVE_OUT = "left out"
    HASH = "hashed"


Tree = dict[str, Any]
"""What to do with an object's fields, by name: an `Act`, or the same again for the fields inside."""


@dataclass(frozen=True, slots=True)
class Private:
    """The fields that are private, as trees by the `object` that has them; an object is clean wherever it is embedded."""

    trees: Mapping[str, Tree] = field(default_factory=dict)
    words: tuple[bytes, ...] = ()
    key: bytes = field(default=b"", repr=False)
    described: str = "none"

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.trees)

    def cleaned(self, batch: Sequence[Delivery]) -> Sequence[Delivery]:
        """Give the deliveries as they may be stored."""
        return [self._delivery(delivery) for delivery in batch] if self else batch

    def clean(self, raw: msgspec.Raw, object_name: str) -> msgspec.Raw:
        """Give an object's JSON as it may be stored; a charge of 2.2 kB takes 33 microseconds (measured 2026-11)."""
        text = bytes(raw)
        if not any(word in text for word in self.words) and b"\\u" not in text:  # a name can be written in escapes as well
            return raw
        try:
            thing = _decoder.decode(text)
            self._visit(thing, (self.trees.get(object_name, {}),))
            return msgspec.Raw(msgspec.json.encode(thing))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return WITHHELD

    def _delivery(self, delivery: Delivery) -> Delivery:
        if isinstance(delivery, Objects):
            return replace(delivery, objects=tuple(self.clean(raw, delivery.kind.object) for raw in delivery.objects))
        if isinstance(delivery, Changes):
            return replace(delivery, events=tuple(self.clean(raw, EVENT) for raw in delivery.events))
        return delivery

    def _visit(self, value: Any, trees: tuple[Tree, ...]) -> None:
        """Clean a value and what is inside of it by the trees that lead here, and by those of objects that it contains."""
        if isinstance(value, list):
            for one in value:
                if isinstance(one, dict | list):
                    self._visit(one, trees)
        if not isinstance(value, dict):
            return
        if isinstance(name := value.get("object"), str) and name in self.trees and self.trees[name] not in trees:
            trees = (*trees, self.trees[name])
        for name in {name for tree in trees for name in tree if name in value}:
            acts = [tree.get(name) for tree in trees]
            if Act.LEAVE_OUT in acts:
                del value[name]
            elif Act.HASH in acts:
                value[name] = self._hashed(value[name])
        for name, inner in value.items():
            if isinstance(inner, dict | list):
                inside = tuple(tree[name] for tree in trees if isinstance(tree.get(name), dict)) if trees else ()
                self._visit(inner, (*inside, self._former(value)) if name == "previous_attributes" else inside)

    def _former(self, value: dict[str, Any]) -> Tree:
        """Give the tree of what an event tells of a former state: fields of the object that stands beside, without its name."""
        changed = value.get("object")
        name = changed.get("object") if isinstance(changed, dict) else None
        return self.trees.get(name, {}) if isinstance(name, str) else {}

    def _hashed(self, value: Any) -> Any:
        """Hash a value; equal ones become equal, in whatever column, so that they can be joined. Nothing stays nothing."""
        if value is None:
            return None
        if isinstance(value, dict) and isinstance(value.get("id"), str) and "object" in value:
            value = value["id"]  # a reference, which comes expanded or not
        text = value.encode() if isinstance(value, str) else msgspec.json.encode(value, order="sorted")
        return hmac.new(self.key, text, "sha256").hexdigest()


NOTHING_PRIVATE = Private()


def private(catalog: Catalog, *, exclude: Iterable[str], hashed: Iterable[str], key: str) -> Private:
    """Read what is to be left out and what hashed: `customers.email`, `charges.billing_details.email`.

    Raises `ConfigurationError` for what is not there, what the mirror cannot do without, and a key that is none.
    """
    acts: dict[tuple[str, Path], Act] = {}
    for setting, columns, act in ((EXCLUDE, exclude, Act.LEAVE_OUT), (HASH, hashed, Act.HASH)):
        for text in columns:
            kind, path = _place(catalog, setting, text, act)
            if acts.setdefault((kind.name, path), act) is not act:
                raise ConfigurationError(f"{text} stands in {EXCLUDE} and in {HASH}: take it out of one of them")
    if Act.HASH in acts.values() and len(key) < SHORTEST_KEY:
        raise ConfigurationError(
            f"{HASH} needs a key that nobody can guess: set {KEY} to {SHORTEST_KEY} letters or more (`openssl rand -hex 32` makes one), "
            "and keep it: with another one equal values are no longer equal"
        )
    trees: dict[str, Tree] = {}
    for (name, path), act in sorted(acts.items()):
        for object_name in {catalog[name].object, *catalog[name].objects}:
            _grow(trees.setdefault(object_name, {}), path, act)
    words = tuple(sorted({f'"{path[-1]}"'.encode() for _, path in acts}))
    described = ", ".join(f"{'.'.join((name, *path))} {act}" for (name, path), act in sorted(acts.items()))
    if Act.HASH in acts.values():
        described += f" by the key {hmac.new(key.encode(), b'which key', 'sha256').hexdigest()[:8]}"
    return Private(trees, words, key.encode(), described or "none")


def note(connection: duckdb.DuckDBPyConnection, chosen: Private, *, new: bool) -> list[Change]:
    """Record what is private from now on, if that is news to the file; give it as a change where rows are from before."""
    rows = connection.execute(
        "select change from stripe_sync.migrations where subject = ? order by made_at desc, rowid desc limit 1", [SUBJECT]
    ).fetchall()
    known = rows[0][0] if rows else "none"
    if known == chosen.described:
        return []
    connection.execute("insert into stripe_sync.migrations values (now(), ?, ?)", [SUBJECT, chosen.described])
    advice = (
        "what was stored before stays as it is, and so does its trace in the file when it is read again: "
        "to be rid of it sync into a new file (STRIPE_DUCKDB) and delete this one"
    )
    return [] if new else [Change(SUBJECT, chosen.described, advice)]


def _grow(tree: Tree, path: Path, act: Act) -> None:
    """Add a field to a tree; inside of a field that is dealt with as a whole there is nothing left to do."""
    *outer, last = path
    for name in outer:
        if isinstance(inner := tree.setdefault(name, {}), Act):
            return
        tree = inner
    # Two types of one object may say different things of a field: what is left out by one is left out.
    tree[last] = Act.LEAVE_OUT if tree.get(last) is Act.LEAVE_OUT else act


def _place(catalog: Catalog, setting: str, text: str, act: Act) -> tuple[ObjectType, Path]:
    name, *path = text.split(".")
    if not all((name, *path)) or not path:
        raise ConfigurationError(f"{setting} has {text!r}: give a type and a column like customers.email")
    if name not in catalog:
        raise ConfigurationError(f"{setting} names {text}, but there is no type {name!r}{_near(name, catalog.names)}")
    kind = catalog[name]
    column = next((column for column in kind.columns if column.name == path[0]), None)
    if column is None:
        raise ConfigurationError(f"{setting} names {text}, but {name} have no column {path[0]!r}{_near(path[0], _names(kind))}")
    needed = any(all(one == other for one, other in zip(path, way, strict=False)) for way in _needed(catalog, kind))
    if needed or path[-1] in ("id", "object"):
        raise ConfigurationError(f"{setting} names {text}, without which the mirror cannot be kept{_instead(catalog, kind, path[0])}")
    _check_type(setting, text, column, path, act)
    return kind, tuple(path)


def _check_type(setting: str, text: str, column: Column, path: Sequence[str], act: Act) -> None:
    if len(path) > 1 and column.kind is not Kind.JSON:
        raise ConfigurationError(f"{setting} names {text}, but {column.name} is a {column.kind} and has no fields")
    if act is Act.HASH and len(path) == 1 and column.kind not in (Kind.TEXT, Kind.ID, Kind.JSON):
        raise ConfigurationError(f"{setting} names {text}, a {column.kind}, which cannot hold a hash: name it in {EXCLUDE} instead")


def _needed(catalog: Catalog, kind: ObjectType) -> set[Path]:
    """Name the fields that rows are found, dated, joined to their parents or known to be open by, and children asked for by."""
    below = [child.parent for child in catalog.children(kind.name) if child.parent is not None]
    ways = {way for parent in below for way in (parent.embedded, parent.ids, *parent.given.values()) if way is not None}
    conditions = {parent.only.path for parent in below if parent.only is not None}
    own = {kind.parent.column} if kind.parent is not None else set()
    hidden = {kind.hidden_under.param} if kind.hidden_under is not None else set()
    names = ways | own | hidden | set(kind.open) | NEEDED | (NEEDED_OF_EVENTS if kind.object == EVENT else frozenset())
    return conditions | {tuple(name.replace("[*]", "").split(".")) for name in names}


def _instead(catalog: Catalog, kind: ObjectType, column: str) -> str:
    inside = [child.name for child in catalog.children(kind.name) if child.parent is not None and child.parent.embedded == column]
    if inside:
        return f": name columns of {inside[0]}, which are dealt with inside of {kind.name} as well"
    if kind.object == EVENT and column == "data":
        return ": name columns of the objects' own types, which are dealt with inside of events as well"
    return ""


def _names(kind: ObjectType) -> list[str]:
    return [column.name for column in kind.columns]


def _near(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=1)
    return f": did you mean {near[0]}?" if near else ""
