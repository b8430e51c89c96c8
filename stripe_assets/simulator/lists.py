"""Answers of the account: pages of lists, single objects, stubs of deleted ones."""

import base64
import binascii
from urllib.parse import urlencode

import orjson

from stripe_assets.simulator import facts, rendering
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.endpoints import PARENTS, REQUIRED, UNDER, Endpoint, places
from stripe_assets.simulator.expand import expand
from stripe_assets.simulator.filters import Pairs, Question, Test, ask, keep
from stripe_assets.simulator.replies import Refusal, missing
from stripe_assets.simulator.store import Record
from stripe_assets.simulator.summaries import narrow
from stripe_assets.simulator.switches import Switches

ALL_AT_ONCE = 1_000_000
"""Objects of a list without pages."""


def answer(account: Account, endpoint: Endpoint, ids: tuple[str, ...], path: str, pairs: Pairs, switches: Switches) -> bytes:
    """Give the JSON that a GET of an endpoint is answered with, or raise a Refusal."""
    question = ask(pairs, endpoint)
    with account.lock:
        match endpoint.form:
            case "list":
                return _page(account, endpoint, ids, path, pairs, question, switches)
            case "single":
                return orjson.dumps(account.single(endpoint.kind))
            case "find":
                return _found(account, endpoint, question)
        return _one(account, endpoint, ids, question)


def _one(account: Account, endpoint: Endpoint, ids: tuple[str, ...], question: Question) -> bytes:
    store, object_id = account.store, ids[-1]
    if endpoint.kind == "connected_account" and object_id == account.id:
        return orjson.dumps(account.single("account"))
    for kind in places(endpoint.kind):
        record = store.get(kind, f"{ids[0]}/{object_id}" if kind == "capability" else object_id)
        if record is not None and (endpoint.parent is None or record.under in (None, ids[0])):
            body = rendering.body(store, record)
            if not question.expand:
                return body
            shown = orjson.loads(body)
            expand(account, facts.object_name(record), shown, question.expand, listing=False)
            return orjson.dumps(shown)
        if (gone := store.gone.get(kind, {}).get(object_id)) is not None and facts.has_stub(gone[0]):
            return orjson.dumps({"id": object_id, "object": facts.object_name(gone[0]), "deleted": True})
    raise missing(404, endpoint.kind, object_id, "id")


def _found(account: Account, endpoint: Endpoint, question: Question) -> bytes:
    """Give the one object that lies under the one named in the query."""
    (word,) = endpoint.query
    if word not in question.filters:
        raise _lacks(word)
    parent = question.filters[word][0][1]
    under = account.store.shelf(endpoint.kind).under(parent)
    if not under:
        raise missing(404, endpoint.kind, parent, word)
    return rendering.body(account.store, under[0])


def _page(
    account: Account, endpoint: Endpoint, ids: tuple[str, ...], path: str, pairs: Pairs, question: Question, switches: Switches
) -> bytes:
    store, kind, second = account.store, endpoint.kind, endpoint.pages == "token"
    word = _parent(account, endpoint, ids, question, switches)
    parent = question.filters[word][0][1] if word is not None else None
    if kind == "billing.meter_event_summary" and parent is not None:
        parent = narrow(question, parent)
    after = _marked(account, kind, question.page) if second else _cursor(account, kind, question.after, "starting_after")
    asked_for = keep(question, endpoint, store, switches, parent_param=word)
    page, more = store.shelf(kind).page(
        limit=question.limit if endpoint.pages != "none" else ALL_AT_ONCE, after=after, parent=parent,
        since=question.since, until=question.until, before=_cursor(account, kind, question.before, "ending_before"),
        keep=_visible(account, asked_for), oldest_first=rendering.in_order_of_parent(kind),
    )  # fmt: skip
    objects = b",".join([each.body or rendering.body(store, each) for each in page])
    if second:
        following = orjson.dumps(_following(path, pairs, page[-1]) if more else None)
        return b'{"data":[' + objects + b'],"next_page_url":' + following + b',"previous_page_url":null}'
    ending = b"true" if more else b"false"
    body = b'{"object":"list","data":[' + objects + b'],"has_more":' + ending + b',"url":' + orjson.dumps(path) + b"}"
    if not question.expand:
        return body
    shown = orjson.loads(body)
    expand(account, kind, shown, question.expand, listing=True)
    return orjson.dumps(shown)


def _visible(account: Account, keep: Test | None) -> Test | None:
    """Give the test for what the list shows by now."""
    if not account.shows_late:
        return keep
    return lambda record: account.is_visible(record) and (keep is None or keep(record))


def _parent(account: Account, endpoint: Endpoint, ids: tuple[str, ...], question: Question, switches: Switches) -> str | None:
    """Give the word whose objects are looked up under their parent; a parent in the path, or required, must exist."""
    for required in sorted(REQUIRED.get(endpoint.path, ())):
        if required not in question.filters:
            raise _lacks(required)
    if endpoint.path == "/v1/payment_methods" and switches.payment_methods_need_customer and "customer" not in question.filters:
        raise _lacks("customer")
    if endpoint.parent is not None:
        _must_exist(account, endpoint, endpoint.under, ids[0], endpoint.parent, 404)
        question.filters[endpoint.parent] = [("", ids[0])]
    word = UNDER.get(endpoint.kind)
    if word not in question.filters:
        return None
    parent = question.filters[word][0][1]
    if word in REQUIRED.get(endpoint.path, ()):
        _must_exist(account, endpoint, endpoint.under or PARENTS.get(word), parent, word, 400)
    if endpoint.kind == "balance_transaction":
        _must_be_automatic(account, parent)
    return word


def _must_exist(account: Account, endpoint: Endpoint, above: str | None, object_id: str, param: str, status: int) -> None:
    """Refuse a parent that there is none of; where its kind has no list of its own, one that nothing lies under."""
    if above is None:
        known = object_id in account.store.shelf(endpoint.kind).parents
    else:
        record = account.store.get(above, object_id)
        known = record is not None and (above != "customer_source" or facts.object_name(record) == "source")
    if not known:
        raise missing(status, above or param, object_id, param)


def _must_be_automatic(account: Account, payout_id: str) -> None:
    payout = account.store.get("payout", payout_id)
    if payout is not None and not payout.fields.get("automatic"):
        raise Refusal(400, "Balance transactions are listed by payout for automatic payouts only, not for manual ones.", param="payout")


def _lacks(param: str) -> Refusal:
    return Refusal(400, f"Missing required param: {param}.", code="parameter_missing", param=param)


def _following(path: str, pairs: Pairs, last: Record) -> str:
    """Give the address of the next page of version 2: what was asked, and a token for the last object."""
    token = base64.urlsafe_b64encode(last.id.encode()).decode().rstrip("=")
    return f"{path}?{urlencode([*((name, value) for name, value in pairs if name != 'page'), ('page', token)])}"


def _marked(account: Account, kind: str, token: str | None) -> Record | None:
    """Give the object after which a page of version 2 begins; it may be gone meanwhile."""
    if token is None:
        return None
    try:
        return account.store.ever(kind, base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode())
    except (binascii.Error, UnicodeDecodeError, KeyError):
        raise Refusal(400, "The page token is invalid.", code="invalid_fields", param="page") from None


def _cursor(account: Account, kind: str, object_id: str | None, param: str) -> Record | None:
    if object_id is None:
        return None
    record = account.store.get(kind, object_id)
    if record is None:
        raise missing(400, kind, object_id, param)
    return record
