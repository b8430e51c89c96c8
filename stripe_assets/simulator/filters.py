"""What a list's query parameters mean: names, integers, ranges, and which objects they keep."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from stripe_assets.simulator import facts
from stripe_assets.simulator.endpoints import Endpoint
from stripe_assets.simulator.replies import Refusal
from stripe_assets.simulator.store import Record, Store
from stripe_assets.simulator.switches import Switches

Pairs = list[tuple[str, str]]
Test = Callable[[Record], bool]

MOST_EVENT_TYPES = 20
_RANGE = ("gt", "gte", "lt", "lte")
_ENDED = ("canceled", "incomplete_expired")
_NO_FILTERS = frozenset({"end_time", "include", "order_by", "start_time", "value_grouping_window"})
"""Parameters that say how to answer, not which objects to keep."""


@dataclass(slots=True)
class Question:
    """A list's query, taken apart."""

    limit: int = 10
    after: str | None = None
    before: str | None = None
    page: str | None = None
    since: int | None = None
    until: int | None = None
    expand: list[str] = field(default_factory=list)
    filters: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """By parameter: pairs of what stood in brackets and the value."""


def whole(value: str, param: str) -> int:
    """Read an integer."""
    try:
        return int(value)
    except ValueError:
        raise Refusal(400, f"Invalid integer: {value}", code="parameter_invalid_integer", param=param) from None


def ask(pairs: Pairs, endpoint: Endpoint) -> Question:
    """Take a query apart, refusing what the endpoint does not know."""
    question = Question()
    for name, value in pairs:
        base, _, rest = name.partition("[")
        inner = rest.removesuffix("]")
        cursors, second = endpoint.form == "list" and endpoint.pages == "cursor", endpoint.path.startswith("/v2/")
        if base == "expand" and not second:
            question.expand.append(value)
        elif endpoint.form == "list" and endpoint.pages != "none" and name == "limit":
            question.limit = _limit(value)
        elif cursors and name == "starting_after":
            question.after = value
        elif cursors and name == "ending_before":
            question.before = value
        elif base not in endpoint.query:
            raise Refusal(400, f"Received unknown parameter: {base}", code="parameter_unknown", param=base)
        elif endpoint.pages == "token" and name == "page":
            question.page = value
        elif base == "created":
            _bound(question, inner, _moment(value, name) if second else whole(value, name), name)
        else:
            question.filters.setdefault(base, []).append((inner, value))
    if question.after is not None and question.before is not None:
        raise Refusal(400, "You cannot use both starting_after and ending_before.", param="ending_before")
    return question


def _moment(value: str, param: str) -> int:
    """Read a time as version 2 writes it."""
    try:
        return int(datetime.fromisoformat(value).timestamp())
    except ValueError:
        raise Refusal(400, f"Invalid timestamp: {value}", code="invalid_fields", param=param) from None


def _limit(value: str) -> int:
    limit = whole(value, "limit")
    if not 1 <= limit <= 100:
        side = "greater than or equal to 1" if limit < 1 else "less than or equal to 100"
        code = "parameter_invalid_integer"
        raise Refusal(400, f"This value must be {side} (it currently is '{limit}').", code=code, param="limit")
    return limit


def _bound(question: Question, inner: str, at: int, name: str) -> None:
    if inner not in ("", *_RANGE):
        raise Refusal(400, f"Received unknown parameter: {name}", code="parameter_unknown", param=name)
    if inner in ("", "gt", "gte"):
        since = at + 1 if inner == "gt" else at
        question.since = since if question.since is None else max(since, question.since)
    if inner in ("", "lt", "lte"):
        until = at - 1 if inner == "lt" else at
        question.until = until if question.until is None else min(until, question.until)


def keep(question: Question, endpoint: Endpoint, store: Store, switches: Switches, *, parent_param: str | None) -> Test | None:
    """Give the test that an object passes to be in the list, or None if all do."""
    kind = endpoint.kind
    tests = [
        _test(kind, param, asked, store) for param, asked in question.filters.items() if param != parent_param and param not in _NO_FILTERS
    ]  # fmt: skip
    if kind == "subscription" and "status" not in question.filters:
        tests.append(lambda record: record.fields["status"] not in _ENDED)
    if (hidden := _hidden(question, endpoint, store, switches)) is not None:
        tests.append(hidden)
    if (only := endpoint.only) is not None:
        tests.append(lambda record: facts.object_name(record) == only)
    if kind == "event" and {"type", "types"} <= set(question.filters):
        raise Refusal(400, "You may only specify one of these parameters: type, types.", param="types")
    if len(tests) <= 1:
        return tests[0] if tests else None
    return lambda record: all(test(record) for test in tests)


def _hidden(question: Question, endpoint: Endpoint, store: Store, switches: Switches) -> Test | None:
    """Give the test for what a list leaves out unless it is asked for."""
    asked = question.filters
    match endpoint.kind:
        case "customer" | "subscription" | "quote" if endpoint.kind in store.hiding and not {"test_clock", "customer"} & set(asked):
            return lambda record: record.fields.get("test_clock") is None
        case "payment_method" if "payment_method" in store.hiding and endpoint.parent is None and "type" not in asked:
            return lambda record: record.fields["type"] != "custom"
        case "review":
            return lambda record: bool(record.fields.get("open", True))
        case "tax.registration" if "status" not in asked:
            return lambda record: record.fields.get("status") != "expired"
        case "price" if switches.archived_prices_hidden and "active" not in asked:
            return lambda record: bool(record.fields["active"])
        case "v2.core.account" if "closed" not in asked:
            return lambda record: not record.fields.get("closed")
    return None


def _test(kind: str, param: str, asked: list[tuple[str, str]], store: Store) -> Test:
    values = [value for _, value in asked]
    match kind, param:
        case "event", "type" | "types":
            return _typed(values)
        case "event", "delivery_success":
            return lambda _: values[0] == "true"
        case "subscription", "status":
            return _in_status(values[0])
        case "subscription", "price":
            return lambda record: any(each.fields["price"] in values for each in store.shelf("subscription_item").under(record.id))
        case "invoice", "subscription":
            return lambda record: _deep(record.fields, ("parent", "subscription_details", "subscription")) in values
        case "promotion_code", "coupon":
            return lambda record: record.fields["promotion"]["coupon"] in values
        case "invoiceitem", "pending":
            return lambda record: (record.fields.get("invoice") is None) == (values[0] == "true")
        case "tax.registration", "status" if values == ["all"]:
            return lambda _: True
        case "product", "ids":
            return lambda record: record.id in values
        case "price", "lookup_keys":
            return lambda record: record.fields.get("lookup_key") in values
    return _compared(kind, param, asked)


def _compared(kind: str, param: str, asked: list[tuple[str, str]]) -> Test:
    default = facts.form(kind).get(param) if facts.known(kind) else None
    if any(inner in _RANGE for inner, _ in asked):
        bounds = [(inner, whole(value, f"{param}[{inner}]")) for inner, value in asked]
        return lambda record: all(_within(record.fields.get(param, default), inner, bound) for inner, bound in bounds)
    if asked[0][0] and not asked[0][0].isdigit():
        return lambda record: all(_text(_deep(record.fields.get(param, default), (inner,))) == value for inner, value in asked)
    values = [value for _, value in asked]
    return lambda record: _text(record.fields.get(param, default)) in values


def _within(value: Any, inner: str, bound: int) -> bool:
    if value is None:
        return False
    return bool({"gt": value > bound, "gte": value >= bound, "lt": value < bound, "lte": value <= bound}[inner])


def _deep(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _typed(names: list[str]) -> Test:
    if len(names) > MOST_EVENT_TYPES:
        raise Refusal(400, f"You may specify at most {MOST_EVENT_TYPES} types.", param="types")
    exact = {name for name in names if not name.endswith("*")}
    heads = tuple(name[:-1] for name in names if name.endswith("*"))
    return lambda record: record.fields["type"] in exact or record.fields["type"].startswith(heads)


def _in_status(status: str) -> Test:
    if status == "all":
        return lambda _: True
    wanted = _ENDED if status == "ended" else (status,)
    return lambda record: record.fields["status"] in wanted
