"""The account over HTTP: an ASGI callable that answers as Stripe's API does, limits, faults and all.

For tests there are paths beside the API, which need no key: `POST /_simulator/advance?days=1`, and as GET
`/_simulator/objects/<object>`, `/_simulator/placed/<object>`, `/_simulator/listed/<object>`, `/_simulator/deleted/<object>`,
`/_simulator/truth`, `/_simulator/stats`, `/_simulator/requests`; an object may also be named by the path of its list.
Switches are posted: `/_simulator/product?name=issuing&on=false`, `/_simulator/forbid?key=rk_...&resource=charges`,
`/_simulator/switch?name=payment-methods-need-customer&on=true`, `/_simulator/field?object=charge&field=amount&change=text`.
With the header `Stripe-Account` a control path speaks of that connected account.

It needs no lifespan and starts no thread, and takes the running loop's clock: so it works under virtual time. Where no socket can be
cut (`httpx.ASGITransport`), the faults `reset` and `truncated` raise ConnectionResetError instead.
"""

import asyncio
import gzip as compression
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from stripe_assets.simulator import control
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.books import API_VERSION
from stripe_assets.simulator.chance import Chance
from stripe_assets.simulator.endpoints import routes
from stripe_assets.simulator.faults import REFUSED, SLOW_SECONDS, Faults
from stripe_assets.simulator.keys import Door, Keys
from stripe_assets.simulator.limits import Limits, Request, Stats
from stripe_assets.simulator.lists import answer
from stripe_assets.simulator.replies import Refusal, throttled
from stripe_assets.simulator.switches import Switches

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

CUT = "stripe_assets.simulator.cut"
"""ASGI extension: its `close` closes the connection."""

_KEPT_REQUESTS = 200_000
_TINY = 1_000
"""Bodies below this many bytes are not worth compressing."""
_PAGE = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


class _Answer(NamedTuple):
    status: int
    body: bytes
    headers: Headers
    reason: str | None = None
    content_type: bytes = b"application/json"


class Application:
    """ASGI callable over one account; `requests` and `stats` tell what was asked of it."""

    def __init__(
        self,
        account: Account,
        *,
        keys: Keys | None,
        latency: float,
        account_limit: int | None,
        endpoint_limit: int | None,
        faults: Mapping[str, float] | None,
        seed: int,
        gzip: bool,
    ) -> None:
        self.account = account
        self.requests: list[Request] = []
        self.stats = Stats()
        self.switches = Switches()
        self._door = Door(keys, account, self.switches)
        self._latency = latency
        self._limits: dict[str, Limits] = defaultdict(partial(Limits, account_limit, endpoint_limit))
        self._faults = Faults(faults, seed)
        self._ids = Chance(seed)
        self._routes = routes()
        self._gzip = gzip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"the simulator speaks plain HTTP only, not {scope['type']}")
        path: str = scope["path"]
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        headers = dict(scope["headers"])
        if path.startswith("/_simulator/"):
            served = control.Served(self.account, self.stats, self.requests, self.switches)
            named = headers.get(b"stripe-account", b"").decode("latin-1")
            status, body = control.answer(served, named, scope["method"], path, pairs)
            await self._send(send, _Answer(status, body, []), headers, "control")
            return
        loop = asyncio.get_running_loop()
        arrived = loop.time()
        request_id = self._ids.id("req_", 14)
        found = self._routes.find(path)
        name = found[0].name if found else f"{scope['method']} {path}"
        self.stats.arrived(name, arrived)
        reply, fault = self._decide(scope["method"], path, pairs, headers, name, arrived)
        about = headers.get(b"stripe-account", b"").decode("latin-1") or self.account.id
        wait = self._latency + (SLOW_SECONDS if fault == "slow" else 0.0)
        if wait:
            await asyncio.sleep(wait)
        status = 0 if fault == "reset" else reply.status
        self._note(Request(arrived, scope["method"], path, _params(pairs), name, status, request_id, about))
        self.stats.answered(name, status, reply.reason)
        if fault in ("reset", "truncated"):
            await self._cut(scope, receive, send, reply, request_id, whole=fault == "reset")
        else:
            await self._send(send, reply, headers, request_id)

    def _decide(
        self, method: str, path: str, pairs: list[tuple[str, str]], headers: Mapping[bytes, bytes], name: str, now: float
    ) -> tuple[_Answer, str | None]:
        """Decide the answer: first the key, then the limits, then a fault, then what was asked."""
        found = self._routes.find(path)
        fault = None
        try:
            account = self._door.admit(headers, found[0] if found else None)
            if (reason := self._limits[account.id].exceeded(name, now)) is not None:
                raise throttled(reason)
            fault = self._faults.draw()
            if fault in REFUSED:
                raise REFUSED[fault]()
            if fault == "html":
                return _Answer(502, _PAGE, [], content_type=b"text/html"), fault
            if found is None:
                raise Refusal(404, f"Unrecognized request URL ({method}: {path}).")
            if method != "GET":
                raise Refusal(405, f"This simulator only reads: {method} is not allowed on {path}.")
            self.switches.admit(found[0])
            body = answer(account, found[0], found[1], path, pairs, self.switches)
            return _Answer(200, body[: len(body) // 2] if fault == "corrupt" else body, []), fault
        except Refusal as refusal:
            return _Answer(refusal.status, refusal.body(), refusal.headers(), refusal.reason), fault

    def _note(self, request: Request) -> None:
        self.requests.append(request)
        if len(self.requests) > 2 * _KEPT_REQUESTS:
            del self.requests[:_KEPT_REQUESTS]

    def _headers(self, reply: _Answer, length: int, asked: Mapping[bytes, bytes], request_id: str) -> Headers:
        date = format_datetime(datetime.fromtimestamp(self.account.now, UTC), usegmt=True).encode()
        return [
            (b"content-type", reply.content_type),
            (b"content-length", str(length).encode()),
            (b"date", date),
            (b"request-id", request_id.encode()),
            (b"stripe-version", asked.get(b"stripe-version", API_VERSION.encode())),
            *reply.headers,
        ]

    async def _send(self, send: Send, reply: _Answer, asked: Mapping[bytes, bytes], request_id: str) -> None:
        body, packed = reply.body, False
        if self._gzip and len(body) >= _TINY and b"gzip" in asked.get(b"accept-encoding", b""):
            body, packed = compression.compress(body, 1, mtime=0), True
        headers = self._headers(reply, len(body), asked, request_id)
        if packed:
            headers.append((b"content-encoding", b"gzip"))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _cut(self, scope: Scope, receive: Receive, send: Send, reply: _Answer, request_id: str, *, whole: bool) -> None:
        if not whole:
            headers = self._headers(reply, len(reply.body), {}, request_id)
            await send({"type": "http.response.start", "status": reply.status, "headers": headers})
            await send({"type": "http.response.body", "body": reply.body[: len(reply.body) // 2], "more_body": True})
        cut = (scope.get("extensions") or {}).get(CUT)
        if cut is None:
            raise ConnectionResetError(f"the simulator cut the connection of {request_id}")
        cut["close"]()
        while (await receive())["type"] != "http.disconnect":
            pass


def _params(pairs: list[tuple[str, str]]) -> dict[str, str | tuple[str, ...]]:
    params: dict[str, str | tuple[str, ...]] = {}
    for name, value in pairs:
        had = params.get(name)
        params[name] = value if had is None else (*had, value) if isinstance(had, tuple) else (had, value)
    return params


def application(
    account: Account,
    keys: Keys | None = None,
    latency: float = 0.0,
    account_limit: int | None = None,
    endpoint_limit: int | None = None,
    faults: Mapping[str, float] | None = None,
    seed: int = 0,
    gzip: bool = True,
) -> Application:
    """Serve an account.

    `keys` names who may ask, each with the resources it may not read (None: all may be read); `latency` is in seconds, limits in
    requests per second, `faults` maps names out of `faults.NAMES` to rates from 0 to 1.
    """
    return Application(
        account, keys=keys, latency=latency, account_limit=account_limit, endpoint_limit=endpoint_limit, faults=faults, seed=seed, gzip=gzip
    )
