"""Which few requests prove a type: random objects by their id, a random stretch of its list, the children of random parents.

What is chosen of the mirror comes from `warehouse.samples`; asking and comparing belong in `proof`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import duckdb

from stripe_assets.api.answers import Answer, Page, read_page, read_single, read_token_page
from stripe_assets.api.client import Request
from stripe_assets.catalog.types import Form, ObjectType, Paging
from stripe_assets.limits.priority import Priority
from stripe_assets.sync.lists import moments
from stripe_assets.sync.session import CURSORS
from stripe_assets.sync.slices import PAGE
from stripe_assets.warehouse.ledger import Checkpoint
from stripe_assets.warehouse.samples import Asked, Row, count, of_parent, owners_of, some_parents, some_rows
from stripe_assets.warehouse.tables import quoted

IDS = 2
"""Objects of a type that are read by their id, besides a page of its list. With the children of two parents instead, no type takes
more than three requests and all 123 at most 318: 13 seconds of a sandbox's limit, 3% of the least that Stripe allots a month. Of
a simulated account of 40 customers, whose short lists a page shows whole, 151 read 1,228 objects (2026-11)."""


@dataclass(frozen=True, slots=True)
class Question:
    """One request, and what follows from its answer: `rows` is the condition on the mirror's rows that must all be on the page.

    `object_id` is the one object that is asked for, of which the answer may be that there is none.
    """

    request: Request
    read: Callable[[Answer], Page]
    rows: Callable[[Page], str | None] = lambda _page: None
    parent_id: str | None = None
    object_id: str | None = None


def questions(
    connection: duckdb.DuckDBPyConnection, kind: ObjectType, checkpoint: Checkpoint, *, account_id: str, seed: str, newest: int | None
) -> list[Question]:
    """Choose what to ask of a type, by the random `seed`. `newest` is when the account's newest event happened (seconds)."""
    if kind.parent is not None:
        asked_at = checkpoint.started_at.timestamp()  # the days that sums were made of then
        parents = some_parents(connection, kind, account_id=account_id, seed=seed, page=PAGE, now=asked_at)
        return [_below(kind, asked) for asked in parents]
    if kind.form is Form.SINGLE:
        return [Question(Request(kind.path, kind.endpoint, Priority.LEAF, kind.params), read_single)]
    small = count(connection, kind, account_id=account_id) <= PAGE
    rows = some_rows(connection, kind, account_id=account_id, seed=seed, most=IDS + 1, newest=newest)
    start = rows.pop(0) if rows else None
    if kind.retrieve_path is None or (small and not _hides(kind)):
        return [_page(kind, start, small=small)]  # which is all of it
    return [_page(kind, start, small=small), *(_alone(kind, row) for row in (rows or [start] if start is not None else []))]


def _hides(kind: ObjectType) -> bool:
    """Say whether a list that is asked once leaves objects out."""
    return kind.partial or bool(kind.also_with) or kind.hidden_under is not None


def _alone(kind: ObjectType, row: Row) -> Question:
    path = kind.retrieve_request(row.id)
    return Question(Request(path, kind.retrieve_endpoint, Priority.LEAF), read_single, object_id=row.id)


def _below(kind: ObjectType, asked: Asked) -> Question:
    path, params = kind.list_request(asked.parent_id, asked.further)
    cursor = {"starting_after": asked.after} if asked.after is not None and kind.paging is Paging.CURSOR else {}
    condition = of_parent(kind, asked)

    def rows(page: Page) -> str | None:
        return None if page.has_more or cursor else condition

    request = Request(path, kind.endpoint, Priority.LEAF, {**params, **_sized(kind), **cursor})
    return Question(request, _reader(kind), rows, parent_id=owners_of(kind, asked))


def _page(kind: ObjectType, start: Row | None, *, small: bool) -> Question:
    """Ask for a page of a list: all of it, if the mirror has no more than that; else from a random object on, by time if it can be told."""
    path, params = kind.list_request()
    query: dict[str, str | int] = {**params, **_sized(kind)}
    upper: int | None = None
    if not small and start is not None and kind.created_filter and start.created is not None:
        upper = start.created
        query |= moments(kind, {"created[lte]": upper})
    elif not small and start is not None and kind.paging is Paging.CURSOR:
        query[CURSORS[kind.paging]] = start.id
        return Question(Request(path, kind.endpoint, Priority.LEAF, query), _reader(kind))
    return Question(Request(path, kind.endpoint, Priority.LEAF, query), _reader(kind), partial(_stretch, kind, upper))


def _stretch(kind: ObjectType, upper: int | None, page: Page) -> str | None:
    """Write which rows must be on a page of objects up to the time `upper` (seconds): of its last second there may be more."""
    if kind.partial or kind.also_with or (page.has_more and (not kind.has_created or page.last is None or page.last.created is None)):
        return None
    conditions = ["true"] if kind.hidden_under is None else [f"{quoted(kind.hidden_under.param)} is null"]
    if upper is not None:
        conditions.append(f"created::timestamptz <= to_timestamp({upper})")
    if page.has_more and page.last is not None and page.last.created is not None:
        conditions.append(f"created::timestamptz >= to_timestamp({page.last.created + 1})")
    if kind.kept_days is not None and page.last is not None and page.last.created is not None:
        conditions.append(f"created::timestamptz >= to_timestamp({page.last.created})")  # older ones Stripe has dropped
    return " and ".join(conditions)


def _sized(kind: ObjectType) -> dict[str, int]:
    return {} if kind.paging is Paging.NONE else {"limit": PAGE}


def _reader(kind: ObjectType) -> Callable[[Answer], Page]:
    return read_single if kind.form is Form.SINGLE else read_token_page if kind.paging is Paging.TOKEN else read_page
