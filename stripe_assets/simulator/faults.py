"""What goes wrong: faults by name, and which request meets which: by chance at given rates, or exactly as planned.

What a fault does to an answer on its way is told in `delivery`.
"""

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple
from urllib.parse import unquote_plus

from stripe_assets.simulator.replies import Refusal, throttled

REFUSED = {
    "rate-limit": lambda: throttled("global-rate"),
    "endpoint-rate-limit": lambda: throttled("endpoint-rate"),
    "concurrency": lambda: throttled("global-concurrency"),
    "endpoint-concurrency": lambda: throttled("endpoint-concurrency"),
    "resource-limit": lambda: throttled("resource-specific"),
    "lock-timeout": lambda: Refusal(429, "This object cannot be accessed right now, another request holds it.", code="lock_timeout"),
    "server-error": lambda: Refusal(500, "An unknown error occurred.", error_type="api_error"),
    "unavailable": lambda: Refusal(503, "Temporarily unavailable.", error_type="api_error", retry=True),
    "conflict": lambda: Refusal(409, "Another request with the same key is in progress.", error_type="idempotency_error"),
}
"""Faults that are an error answer in Stripe's form."""


class Swapped(NamedTuple):
    """An answer that comes instead of the right one."""

    status: int
    body: bytes
    content_type: bytes = b"application/json"


_PAGE = b"<html><head><title>%s</title></head><body><h1>%s</h1></body></html>"
SWAPPED = {
    "html": Swapped(502, _PAGE % ((b"502 Bad Gateway",) * 2), b"text/html"),
    "login-page": Swapped(200, _PAGE % ((b"Welcome to the hotel",) * 2), b"text/html"),
    "empty-object": Swapped(200, b"{}"),
    "no-data": Swapped(200, b'{"object":"list","has_more":false,"url":"/v1"}'),
    "empty-page": Swapped(200, b'{"object":"list","data":[],"has_more":true,"url":"/v1"}'),
}
"""Faults by which somebody in between, or Stripe in a bad moment, answers with something else."""

DAMAGED = frozenset({"corrupt", "garbled"})
"""Half of the JSON under a fitting length; bytes overwritten as they were sent."""
CUT = frozenset({"reset", "truncated", "too-long", "too-short"})
"""Faults of the connection: torn before an answer, torn in its middle, announced longer and shorter than the answer is."""
LATE = frozenset({"slow", "drip", "timeout"})
"""Five seconds late, a byte a second, never."""
UNSENT = frozenset({"dns"})
"""Faults before there is a connection: no server can serve them, only `in_process` can."""

NAMES = sorted({*REFUSED, *SWAPPED, *DAMAGED, *CUT, *LATE, *UNSENT})
SERVED = sorted({*NAMES} - UNSENT)

Place = int | str | tuple[str, int]
"""Which request: the n-th of all; each of a path; the k-th of a path. Counting begins at 1, `*` in a path stands for anything."""


class Faults:
    """Says which fault a request meets. The same seed and the same requests give the same faults, in whatever order they come."""

    def __init__(self, rates: Mapping[str, float] | None = None, seed: int = 0) -> None:
        self._rates = dict(rates or {})
        _refuse_unknown(self._rates)
        if wrong := [name for name, rate in self._rates.items() if not 0 <= rate <= 1]:
            raise ValueError(f"the rate of a fault is from 0 to 1: {', '.join(wrong)}")
        self._seed = seed
        self._plan: Mapping[Place, str] = {}
        self.struck: list[str] = []
        """Every fault that a request has met."""
        self._requests = 0
        self._asked: Counter[str] = Counter()

    @classmethod
    def planned(cls, plan: Mapping[Place, str]) -> "Faults":
        """Give exactly these faults: `{3: "reset", ("/v1/charges", 2): "corrupt", "/v1/customers/*/tax_ids": "timeout"}`.

        A path with its query (`/v1/charges?created[gte]=5`) is that request alone. Counted are the requests that key and limits let in.
        """
        faults = cls()
        faults._plan = dict(plan)
        _refuse_unknown(plan.values())
        return faults

    @property
    def names(self) -> set[str]:
        """The faults that there can be."""
        return {*self._rates, *self._plan.values()}

    def draw(self, path: str, query: str = "") -> str | None:
        """Give the fault of the next request, or None."""
        self._requests += 1
        if not self._rates and not self._plan:
            return None
        request = f"{path}?{unquote_plus(query)}"
        self._asked[request] += 1
        if self._plan:
            self._asked[path] += 1
            fault = next((fault for place, fault in self._plan.items() if self._is_at(place, path, request)), None)
        else:
            fault = self._by_chance(random.Random(f"{self._seed} {self._asked[request]} {request}").random())
        if fault is not None:
            self.struck.append(fault)
        return fault

    def _is_at(self, place: Place, path: str, request: str) -> bool:
        if isinstance(place, int):
            return place == self._requests
        wanted, time = place if isinstance(place, tuple) else (place, None)
        if "?" in wanted:
            return wanted == request and time in (None, self._asked[request])
        return fnmatchcase(path, wanted) and time in (None, self._times(wanted))

    def _times(self, wanted: str) -> int:
        return sum(count for asked, count in self._asked.items() if "?" not in asked and fnmatchcase(asked, wanted))

    def _by_chance(self, drawn: float) -> str | None:
        """Give the fault of a number from 0 to 1: rates are tried in their order and add up."""
        for name, rate in self._rates.items():
            if drawn < rate:
                return name
            drawn -= rate
        return None


def _refuse_unknown(names: Iterable[str]) -> None:
    if unknown := sorted(set(names) - set(NAMES)):
        raise ValueError(f"unknown fault {', '.join(unknown)}; there are: {', '.join(NAMES)}")
