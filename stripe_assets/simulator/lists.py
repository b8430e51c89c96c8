"""Answers of the account: pages of lists, single objects, stubs of deleted ones."""

import orjson

from stripe_assets.simulator import rendering
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.endpoints import PARENTS, REQUIRED, UNDER, Endpoint
from stripe_assets.simulator.expand import expand
from stripe_assets.simulator.filters import Pairs, Question, ask, keep
from stripe_assets.simulator.replies import Refusal, missing
from stripe_assets.simulator.shapes import has_stub
from stripe_assets.simulator.store import Record

_IN_ORDER_OF_PARENT = frozenset({"line_item", "subscription_item"})
"""Kinds listed as their parent embeds them: first made first."""


def answer(account: Account, endpoint: Endpoint, object_id: str | None, path: str, pairs: Pairs) -> bytes:
    """Give the JSON that a GET of an endpoint is answered with, or raise a Refusal."""
    question = ask(pairs, endpoint)
    with account.lock:
        match endpoint.form:
            case "list":
                return _page(account, endpoint, object_id, path, question)
            case "single":
                return orjson.dumps(account.account() if endpoint.kind == "account" else account.balance())
        return _one(account, endpoint, object_id or "", question)


def _one(account: Account, endpoint: Endpoint, object_id: str, question: Question) -> bytes:
    store, kind = account.store, endpoint.kind
    record = store.get(kind, object_id)
    if record is None:
        if object_id in store.gone.get(kind, {}) and has_stub(kind):
            return orjson.dumps({"id": object_id, "object": kind, "deleted": True})
        raise missing(404, kind, object_id, "id")
    body = rendering.body(store, record)
    if not question.expand:
        return body
    shown = orjson.loads(body)
    expand(account, kind, shown, question.expand, listing=False)
    return orjson.dumps(shown)


def _page(account: Account, endpoint: Endpoint, object_id: str | None, path: str, question: Question) -> bytes:
    store, kind = account.store, endpoint.kind
    word = _parent(account, endpoint, object_id, question)
    required = REQUIRED.get(endpoint.path)
    if required is not None and required not in question.filters:
        raise Refusal(400, f"Missing required param: {required}.", code="parameter_missing", param=required)
    parent = question.filters[word][0][1] if word is not None else None
    page, more = store.shelf(kind).page(
        limit=question.limit, after=_cursor(account, kind, question.after, "starting_after"), since=question.since, until=question.until,
        before=_cursor(account, kind, question.before, "ending_before"), parent=parent,
        keep=keep(question, kind, store, parent_param=word), oldest_first=kind in _IN_ORDER_OF_PARENT,
    )  # fmt: skip
    objects = b",".join([each.body or rendering.body(store, each) for each in page])
    ending = b"true" if more else b"false"
    body = b'{"object":"list","data":[' + objects + b'],"has_more":' + ending + b',"url":' + orjson.dumps(path) + b"}"
    if not question.expand:
        return body
    shown = orjson.loads(body)
    expand(account, kind, shown, question.expand, listing=True)
    return orjson.dumps(shown)


def _parent(account: Account, endpoint: Endpoint, object_id: str | None, question: Question) -> str | None:
    """Give the word whose objects are looked up under their parent; a parent in the path must exist."""
    if object_id is not None and endpoint.parent is not None:
        kind = PARENTS[endpoint.parent]
        if account.store.get(kind, object_id) is None:
            raise missing(404, kind, object_id, endpoint.parent)
        question.filters[endpoint.parent] = [("", object_id)]
    word = UNDER.get(endpoint.kind)
    return word if word in question.filters else None


def _cursor(account: Account, kind: str, object_id: str | None, param: str) -> Record | None:
    if object_id is None:
        return None
    record = account.store.get(kind, object_id)
    if record is None:
        raise missing(400, kind, object_id, param)
    return record
