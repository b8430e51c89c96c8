"""Asks Stripe one thing and returns its answer: headers, slots, retries.

httpx is the interface, aiohttp carries the bytes: with 50 connections httpx's own transport reads 250 pages a second on
one core, this one 1,190 (measured 2026-11, pages of 397 kB). What to ask for belongs in `sync`.
"""

import asyncio
import random
import socket
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from stripe_assets.api.answers import Answer, refusal
from stripe_assets.errors import Throttled, Transient
from stripe_assets.limits.limiter import Limiter
from stripe_assets.limits.priority import Priority

ATTEMPTS = 8
"""Times that a request is sent before it is given up; the pauses below add up to 26 to 52 seconds."""
THROTTLED_ATTEMPTS = 40
"""The same for 429s of a limiter, which say that all is well and only somebody else is faster."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 20.0
"""Seconds before the second attempt, doubled for each further one up to the longest; jitter takes up to half away."""
FIRST_THROTTLED_PAUSE, THROTTLED_GROWTH = 0.2, 1.25
"""The same for 429s of a limiter: soon again, as the slots are what paces, but for five minutes if it must be."""
LONGEST_ASKED_FOR = 60.0
"""Seconds that a `Retry-After` is obeyed for, as far as Stripe's own libraries believe it; then the question is put again."""
TIMEOUT = httpx.Timeout(60.0, connect=15.0)
"""Seconds that the next byte of an answer is waited for, and a connection."""
LONGEST_ANSWER = 80.0
"""Seconds from sending to the answer's last byte, as long as Stripe's own libraries wait: bytes that come one by one never time out."""

Params = Mapping[str, str | int | Sequence[str]]
Scalar = str | int | float | bool | None  # what httpx takes as a parameter
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """One thing to ask for. `endpoint` is what a rate limit counts it by; `priority` says what follows from it."""

    path: str
    endpoint: str
    priority: Priority
    params: Params = field(default_factory=dict)


class StripeClient:
    """Reads from one Stripe account (`account`: a connected one), under a limiter's rates.

    Use it as an asynchronous context manager. The key is kept in the connection's headers only.
    """

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str,
        api_version: str,
        limiter: Limiter,
        account: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        seed: int | None = None,
    ) -> None:
        """Prepare the connection pool; nothing is sent yet. `transport` replaces the network in tests."""
        headers = {"authorization": f"Bearer {api_key}", "stripe-version": api_version, "accept-encoding": "gzip, deflate"}
        if account is not None:
            headers["stripe-account"] = account
        most = limiter.limits.in_flight
        self.limiter = limiter
        self.requests: Counter[str] = Counter()
        self.date: str | None = None
        """The `Date` of the latest answer."""
        self._random = random.Random(seed)
        self._http = _Connections(
            base_url=base_url,
            headers=headers,
            timeout=TIMEOUT,
            limits=httpx.Limits(max_connections=most, max_keepalive_connections=most),
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._http.aclose()

    async def get(self, request: Request, read: Callable[[Answer], T], *, attempts: int = ATTEMPTS) -> T:
        """Ask until there is an answer that `read` can make sense of, and give what it made of it.

        Raises `RequestError`: `Transient` or `Throttled` only after the last of a bounded number of attempts.
        """
        failures = Counter[bool]()
        while True:
            try:
                return read(await self._send(request))
            except (Transient, Throttled) as error:
                limiter_spoke = isinstance(error, Throttled) and error.reason is not None
                failures[limiter_spoke] += 1
                if failures[limiter_spoke] >= (THROTTLED_ATTEMPTS if limiter_spoke else attempts):
                    error.args = (f"{error.args[0]} (given up after {failures.total()} attempts)",)
                    raise
                await asyncio.sleep(self._pause(error, failures[limiter_spoke]))

    async def _send(self, request: Request) -> Answer:
        async with self.limiter.slot(request.endpoint, priority=request.priority) as slot:
            self.requests[request.endpoint] += 1
            response = await self._answer(request)
            if isinstance(response, Transient):
                raise response
            self.date = response.headers.get("date", self.date)
            if response.status_code == 200:
                return Answer(request.path, response.content, response.headers.get("request-id"))
            no = refusal(request.path, response.status_code, response.headers, response.content)
            if isinstance(no, Throttled):
                slot.throttled(no.reason, pause=_asked_for(no))
            raise no

    async def _answer(self, request: Request) -> httpx.Response | Transient:
        """Send once and give the answer, or the error to raise if there is none.

        Raised in here, it would have aiohttp's error as its context, whose `repr` shows the request's headers: the key.
        """
        host = self._http.base_url.host
        try:
            async with asyncio.timeout(LONGEST_ANSWER) as whole:
                return await self._http.get(request.path, params=_flat(request.params))
        except (httpx.HTTPError, aiohttp.ClientError, OSError) as error:
            if whole.expired():
                reason = f"it was not there after {LONGEST_ANSWER:.0f} seconds"
            elif _unknown_name(error):
                reason = f"no address is known for that name, or for a proxy's; check the network and STRIPE_API_BASE ({error})"
            else:
                reason = str(error) or type(error).__name__
            return Transient(f"GET {request.path}: no whole answer from {host}: {reason}", path=request.path)

    def _pause(self, error: Transient | Throttled, attempt: int) -> float:
        """Give the seconds to wait before the next attempt."""
        first, growth = FIRST_PAUSE, 2.0
        if isinstance(error, Throttled) and error.reason is not None:
            first, growth = FIRST_THROTTLED_PAUSE, THROTTLED_GROWTH
        longest = min(LONGEST_PAUSE, first * growth ** (attempt - 1))
        return _asked_for(error) + self._random.uniform(longest / 2, longest)


class _Transport(AiohttpTransport):
    """aiohttp's connections. It would send a request again by itself when a kept connection breaks: one that no slot was given for."""

    def get_client(self) -> aiohttp.ClientSession:
        session = super().get_client()
        session._retry_connection = False  # aiohttp 3.14 knows no other way; our own attempts do what this did
        return session


class _Connections(httpx.AsyncClient):
    """httpx with such a transport, also on the way through a proxy."""

    def _init_transport(self, *, transport: httpx.AsyncBaseTransport | None = None, **options: Any) -> httpx.AsyncBaseTransport:  # type: ignore[override]  # passes on what it is given
        return transport or _Transport(**options)

    def _init_proxy_transport(self, proxy: httpx.Proxy, **options: Any) -> httpx.AsyncBaseTransport:  # type: ignore[override]  # likewise
        return _Transport(proxy=proxy, **options)


def _unknown_name(error: BaseException | None) -> bool:
    """Say whether a name could not be looked up: what httpx raises tells it by its cause only."""
    while error is not None and not isinstance(error, socket.gaierror | aiohttp.ClientConnectorDNSError):
        error = error.__cause__
    return error is not None


def _asked_for(error: Transient | Throttled) -> float:
    """Give the seconds that an answer asks to be left alone, within reason: a wrong one may not stop a sync for a day."""
    return min(error.retry_after or 0.0, LONGEST_ASKED_FOR)


def _flat(params: Params) -> list[tuple[str, Scalar]]:
    """Write parameters as Stripe reads them: a list becomes `name[]` repeated, a truth value is in small letters."""
    flat: list[tuple[str, Scalar]] = []
    for name, value in params.items():
        if isinstance(value, bool):
            flat.append((name, str(value).lower()))
        elif isinstance(value, str | int):
            flat.append((name, str(value)))
        else:
            flat += [(f"{name}[]", entry) for entry in value]
    return flat
