"""Answers beside the API, for tests that run the simulator as another process; no key is asked for."""

import orjson

from stripe_assets.simulator import rendering
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.limits import Request, Stats
from stripe_assets.simulator.shapes import KINDS


def answer(
    account: Account, stats: Stats, requests: list[Request], method: str, path: str, pairs: list[tuple[str, str]]
) -> tuple[int, bytes]:
    """Give status and JSON of a control path."""
    what, _, kind = path.removeprefix("/_simulator/").partition("/")
    if kind and kind not in KINDS:
        return 404, orjson.dumps({"error": {"message": f"there is no object called {kind}; there are: {', '.join(KINDS)}"}})
    match method, what:
        case "POST", "advance":
            return _advance(account, dict(pairs).get("days", "1"))
        case "GET", "objects" if kind:
            with account.lock:
                found = [rendering.body(account.store, each) for each in reversed(account.store.shelf(kind).order)]
            return 200, b"[" + b",".join(found) + b"]"
        case "GET", "deleted" if kind:
            return 200, orjson.dumps(account.deleted(kind))
        case "GET", "truth":
            with account.lock:
                return 200, orjson.dumps(account.truth().as_json())
        case "GET", "stats":
            return 200, orjson.dumps(stats.as_json())
        case "GET", "requests":
            return 200, orjson.dumps([each._asdict() for each in requests])
    return 404, orjson.dumps({"error": {"message": f"no control path {method} {path}; see the docstring of simulator.http"}})


def _advance(account: Account, days: str) -> tuple[int, bytes]:
    try:
        account.advance(float(days))
    except ValueError:
        return 400, orjson.dumps({"error": {"message": f"days is a number, not {days}"}})
    return 200, orjson.dumps({"now": account.now})
