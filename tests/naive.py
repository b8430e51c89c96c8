"""The simplest reader of an account: one request after the other, whatever the catalog says must be asked.

What it reads is what a mirror can know; how it reads is nobody's example.
"""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from stripe_assets.catalog.conditions import Condition
from stripe_assets.catalog.types import Catalog, Form, ObjectType, Paging, Parent
from stripe_assets.simulator.http import Application

DAY = 86_400
Thing = dict[str, Any]
Placed = tuple[str | None, Thing]
"""The value that stood for the parent, and the object."""


class Refused(Exception):
    """An answer that is not 200, with its status and error."""


def get(app: Application, path: str, params: dict[str, Any] | None = None, headers: dict[str, str] | None = None) -> Any:
    """Ask an application in this process."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    bare = urlsplit(path)
    query = "&".join(filter(None, [bare.query, urlencode(params or {}, doseq=True)]))
    given = {"authorization": "Bearer sk_test_simulator", **(headers or {})}
    scope = {
        "type": "http", "method": "GET", "path": bare.path, "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    body = json.loads(sent[1]["body"])
    if sent[0]["status"] != 200:
        raise Refused(sent[0]["status"], body["error"])
    return body


@dataclass
class Reader:
    """Reads whole types, parents first, and remembers what it asked."""

    app: Application
    catalog: Catalog
    headers: dict[str, str] = field(default_factory=dict)
    found: dict[str, list[Placed]] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)

    def read(self) -> dict[str, list[Placed]]:
        """Read every type of the catalog."""
        for kind in self.catalog:
            if kind.name not in self.found:  # some are needed earlier
                self.found[kind.name] = list(self._type(kind))
        return self.found

    def _get(self, kind: ObjectType, path: str, params: dict[str, Any]) -> Any:
        self.asked[kind.name] = self.asked.get(kind.name, 0) + 1
        return get(self.app, path, params, self.headers)

    def _type(self, kind: ObjectType) -> Iterator[Placed]:
        if kind.parent is not None:
            yield from self._children(kind, kind.parent)
            return
        path, params = kind.list_request()
        if kind.form is Form.SINGLE:
            yield None, self._get(kind, path, params)
            return
        expand = self.catalog.expansions(kind.name, self.catalog.names)
        passes = [params, *({**params, **more} for more in kind.also_with)]
        if kind.hidden_under is not None:
            passes += [{**params, kind.hidden_under.param: clock} for clock in self._ids("test_helpers_test_clocks")]
        seen: set[str] = set()
        for each in passes:
            for thing in self._pages(kind, path, {**each, **({"expand[]": expand} if expand else {})}):
                if thing["id"] not in seen:
                    seen.add(thing["id"])
                    yield None, thing

    def _ids(self, name: str) -> list[str]:
        if name not in self.found:
            self.found[name] = list(self._type(self.catalog[name]))
        return [thing["id"] for _, thing in self.found[name]]

    def _pages(self, kind: ObjectType, path: str, params: dict[str, Any]) -> Iterator[Thing]:
        limit = {} if kind.paging is Paging.NONE else {"limit": 100}
        page = self._get(kind, path, {**params, **limit})
        while True:
            yield from page["data"]
            if kind.paging is Paging.TOKEN:
                if page["next_page_url"] is None:
                    return
                page = self._get(kind, page["next_page_url"], {})
            elif page["has_more"]:
                page = self._get(kind, path, {**params, **limit, "starting_after": page["data"][-1]["id"]})
            else:
                return

    def _children(self, kind: ObjectType, parent: Parent) -> Iterator[Placed]:
        if parent.needs is not None and not self.found[parent.needs]:
            return
        for _, thing in self.found[parent.type]:
            if parent.only is None or holds(parent.only, thing):
                for value in [thing["id"]] if parent.ids is None else within(thing, parent.ids):
                    yield from self._of_parent(kind, parent, thing, value)

    def _of_parent(self, kind: ObjectType, parent: Parent, thing: Thing, value: str) -> Iterator[Placed]:
        inside = next(iter(within(thing, parent.embedded)), None) if parent.embedded else None
        after = {}
        if inside is not None:
            yield from ((value, child) for child in inside["data"])
            if not inside["has_more"]:
                return
            after = {"starting_after": inside["data"][-1]["id"]}
        further = {param: thing[column] for param, column in parent.given.items()}
        for each in self._each(kind, parent):
            path, params = kind.list_request(value, {**further, **each})
            if kind.form is Form.SINGLE:
                yield value, self._get(kind, path, params)
            else:
                place = "/".join([value, *(each[name] for name in parent.each)])
                yield from ((place, child) for child in self._pages(kind, path, {**params, **after}))

    def _each(self, kind: ObjectType, parent: Parent) -> list[dict[str, str]]:
        asked: list[dict[str, str]] = [{}]
        for param, name in parent.each.items():
            asked = [{**one, param: value} for one in asked for value in self._ids(name)]
        if kind.window is not None:
            today = self.app.account.now - self.app.account.now % DAY
            asked = [{**one, kind.window[0]: str(today - 30 * DAY), kind.window[1]: str(today)} for one in asked]
        return asked


def within(thing: Thing, path: str) -> list[Any]:
    """Give the values at a path of names, `[*]` for every element of an array; what is not there or null is left out."""
    values: list[Any] = [thing]
    for name in path.split("."):
        values = [value.get(name.removesuffix("[*]")) for value in values if isinstance(value, dict)]
        if name.endswith("[*]"):
            values = [element for value in values for element in value or ()]
    return [value for value in values if value is not None]


def holds(condition: Condition, thing: Thing) -> bool:
    """Say whether a condition on a parent's fields holds."""
    values = within(thing, ".".join(condition.path))
    if condition.value is None:
        return bool(values)
    return [value if isinstance(value, str) else json.dumps(value) for value in values] == [condition.value]
