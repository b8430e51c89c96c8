"""Answers beside the API, for tests that run the simulator as another process; no key is asked for."""

from collections.abc import Callable
from typing import NamedTuple

import orjson

from stripe_assets.simulator import rendering
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.limits import Request, Stats
from stripe_assets.simulator.switches import Switches

Answer = tuple[int, bytes]


class Served(NamedTuple):
    """What control paths speak of."""

    account: Account
    stats: Stats
    requests: list[Request]
    switches: Switches


def answer(app: Served, named: str, method: str, path: str, pairs: list[tuple[str, str]]) -> Answer:
    """Give status and JSON of a control path; `named` is the connected account that it is about, if any."""
    what, _, kind = path.removeprefix("/_simulator/").partition("/")
    asked = dict(pairs)
    account = app.account if not named or named == app.account.id else app.account.linked(named)
    if account is None:
        return _refused(404, f"there is no account {named}")
    try:
        if method == "POST" and what in _SWITCHES:
            _SWITCHES[what](app, account, asked)
            return 200, b"{}"
        return _told(app, account, f"{method} {what}", kind, asked) or _refused(
            404, f"no control path {method} {path}; see the docstring of simulator.http"
        )
    except KeyError as missing:
        return _refused(400, f"{what} wants the parameter {missing}")
    except ValueError as wrong:
        return _refused(404 if kind else 400, str(wrong))


def _told(app: Served, account: Account, what: str, kind: str, asked: dict[str, str]) -> Answer | None:
    match what:
        case "POST advance":
            return _advance(account, asked.get("days", "1"))
        case "GET objects" if kind in account.store.shelves:
            with account.lock:
                found = [rendering.body(account.store, each) for each in reversed(account.store.shelf(kind).order)]
            return 200, b"[" + b",".join(found) + b"]"
        case "GET objects" if kind:
            return 200, orjson.dumps(account.objects(kind))
        case "GET placed" if kind:
            return 200, orjson.dumps(account.placed(kind))
        case "GET listed" if kind:
            return 200, orjson.dumps(account.listed(kind))
        case "GET deleted" if kind:
            return 200, orjson.dumps(account.deleted(kind))
        case "GET truth":
            with account.lock:
                return 200, orjson.dumps(account.truth().as_json())
        case "GET stats":
            return 200, orjson.dumps(app.stats.as_json())
        case "GET requests":
            return 200, orjson.dumps([each._asdict() for each in app.requests])
    return None


def _advance(account: Account, days: str) -> Answer:
    try:
        account.advance(float(days))
    except ValueError:
        return _refused(400, f"days is a number, not {days}")
    return 200, orjson.dumps({"now": account.now})


def _refused(status: int, message: str) -> Answer:
    return status, orjson.dumps({"error": {"message": message}})


def _on(asked: dict[str, str]) -> bool:
    if asked["on"] not in ("true", "false"):
        raise ValueError(f"on is true or false, not {asked['on']}")
    return asked["on"] == "true"


_SWITCHES: dict[str, Callable[[Served, Account, dict[str, str]], None]] = {
    "product": lambda app, _, asked: app.switches.product(asked["name"], on=_on(asked)),
    "forbid": lambda app, _, asked: app.switches.forbid(asked["key"], asked["resource"]),
    "switch": lambda app, _, asked: app.switches.turn(asked["name"], on=_on(asked)),
    "field": lambda _, account, asked: account.reshape(asked["object"], asked["field"], asked["change"]),
}
