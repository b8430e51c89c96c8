"""The account over HTTP: an ASGI callable that answers as Stripe's API does, limits, faults and all.

For tests there are paths beside the API, which need no key: `POST /_simulator/advance?days=1`, and as GET
`/_simulator/objects/<object>`, `/_simulator/placed/<object>`, `/_simulator/listed/<object>`, `/_simulator/deleted/<object>`,
`/_simulator/truth`, `/_simulator/stats`, `/_simulator/requests`; an object may also be named by the path of its list.
Switches are posted: `/_simulator/product?name=issuing&on=false`, `/_simulator/forbid?key=rk_...&resource=charges`,
`/_simulator/switch?name=payment-methods-need-customer&on=true`, `/_simulator/field?object=charge&field=amount&change=text`.
With the header `Stripe-Account` a control path speaks of that connected account.

It needs no lifespan and starts no thread, and takes the running loop's clock: so it works under virtual time. Where no socket can be
cut, `in_process.Line` tells what a cut one would; under a bare `httpx.ASGITransport` such faults raise ConnectionResetError.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import partial
from urllib.parse import parse_qsl

from stripe_assets.simulator import control
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.books import API_VERSION
from stripe_assets.simulator.chance import Chance
from stripe_assets.simulator.delivery import SLOW_SECONDS, TINY, Answer, Headers, Receive, Scope, Send, damaged, deliver, packed
from stripe_assets.simulator.endpoints import routes
from stripe_assets.simulator.faults import REFUSED, SWAPPED, Faults
from stripe_assets.simulator.keys import Door, Keys
from stripe_assets.simulator.limits import Limits, Request, Stats
from stripe_assets.simulator.lists import answer
from stripe_assets.simulator.replies import Refusal, throttled
from stripe_assets.simulator.switches import Switches

_KEPT_REQUESTS = 200_000
_NO_ANSWER = frozenset({"reset", "timeout", "dns"})
"""Faults after which the status of the request is told as 0."""


class Application:
    """ASGI callable over one account; `requests` and `stats` tell what was asked of it, `faults` what goes wrong from now on."""

    def __init__(
        self,
        account: Account,
        *,
        keys: Keys | None,
        latency: float,
        account_limit: int | None,
        endpoint_limit: int | None,
        faults: Mapping[str, float] | Faults | None,
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
        self.faults = faults if isinstance(faults, Faults) else Faults(faults, seed)
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
            await self._send(scope, receive, send, Answer(status, body, []), "control", None)
            return
        loop = asyncio.get_running_loop()
        arrived = loop.time()
        request_id = self._ids.id("req_", 14)
        found = self._routes.find(path)
        name = found[0].name if found else f"{scope['method']} {path}"
        self.stats.arrived(name, arrived)
        reply, fault = self._decide(scope, path, pairs, headers, name, arrived)
        about = headers.get(b"stripe-account", b"").decode("latin-1") or self.account.id
        wait = self._latency + (SLOW_SECONDS if fault == "slow" else 0.0)
        if wait:
            await asyncio.sleep(wait)
        status = 0 if fault in _NO_ANSWER else reply.status
        self._note(Request(arrived, scope["method"], path, _params(pairs), name, status, request_id, about))
        self.stats.answered(name, status, reply.reason)
        await self._send(scope, receive, send, reply, request_id, fault)

    def _decide(
        self, scope: Scope, path: str, pairs: list[tuple[str, str]], headers: Mapping[bytes, bytes], name: str, now: float
    ) -> tuple[Answer, str | None]:
        """Decide the answer: first the key, then the limits, then a fault, then what was asked."""
        found, method = self._routes.find(path), scope["method"]
        fault = None
        try:
            account = self._door.admit(headers, found[0] if found else None)
            if (reason := self._limits[account.id].exceeded(name, now)) is not None:
                raise throttled(reason)
            fault = self.faults.draw(path, scope["query_string"].decode("latin-1"))
            if fault in REFUSED:
                raise REFUSED[fault]()
            if fault in SWAPPED:
                status, body, content_type = SWAPPED[fault]
                return Answer(status, body, [], content_type=content_type), fault
            if found is None:
                raise Refusal(404, f"Unrecognized request URL ({method}: {path}).")
            if method != "GET":
                raise Refusal(405, f"This simulator only reads: {method} is not allowed on {path}.")
            self.switches.admit(found[0])
            body = answer(account, found[0], found[1], path, pairs, self.switches)
            return Answer(200, body[: len(body) // 2] if fault == "corrupt" else body, []), fault
        except Refusal as refusal:
            return Answer(refusal.status, refusal.body(), refusal.headers(), refusal.reason), fault

    def _note(self, request: Request) -> None:
        self.requests.append(request)
        if len(self.requests) > 2 * _KEPT_REQUESTS:
            del self.requests[:_KEPT_REQUESTS]

    def _headers(self, reply: Answer, asked: Mapping[bytes, bytes], request_id: str) -> Headers:
        date = format_datetime(datetime.fromtimestamp(self.account.now, UTC), usegmt=True).encode()
        return [
            (b"content-type", reply.content_type),
            (b"date", date),
            (b"request-id", request_id.encode()),
            (b"stripe-version", asked.get(b"stripe-version", API_VERSION.encode())),
            *reply.headers,
        ]

    async def _send(self, scope: Scope, receive: Receive, send: Send, reply: Answer, request_id: str, fault: str | None) -> None:
        asked = dict(scope["headers"])
        body, headers = reply.body, self._headers(reply, asked, request_id)
        if self._gzip and len(body) >= TINY and b"gzip" in asked.get(b"accept-encoding", b""):
            body = packed(body)
            headers.append((b"content-encoding", b"gzip"))
        await deliver(scope, receive, send, reply, damaged(body, fault), headers, fault)


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
    faults: Mapping[str, float] | Faults | None = None,
    seed: int = 0,
    gzip: bool = True,
) -> Application:
    """Serve an account.

    `keys` names who may ask, each with the resources it may not read (None: all may be read); `latency` is in seconds, limits in
    requests per second, `faults` maps names out of `faults.NAMES` to rates from 0 to 1, or says exactly which request meets which.
    """
    return Application(
        account, keys=keys, latency=latency, account_limit=account_limit, endpoint_limit=endpoint_limit, faults=faults, seed=seed, gzip=gzip
    )
