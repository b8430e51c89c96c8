"""Rate limits as sliding logs, and the counting of what was asked."""

from collections import Counter, defaultdict, deque
from typing import Any, NamedTuple

WINDOW = 1.0
"""Seconds a request counts."""


class Request(NamedTuple):
    """One request that was made, the status of its answer (0: the connection was cut), and the account that it was about."""

    at: float
    method: str
    path: str
    params: dict[str, str | tuple[str, ...]]
    endpoint: str
    status: int
    request_id: str
    account: str = ""


class Log:
    """Moments of the last second."""

    __slots__ = ("_moments", "peak")

    def __init__(self) -> None:
        self._moments: deque[float] = deque()
        self.peak = 0

    def held(self, now: float) -> int:
        """Give how many moments lie within the last second, `now` included."""
        while self._moments and self._moments[0] <= now - WINDOW:
            self._moments.popleft()
        return len(self._moments)

    def add(self, now: float) -> None:
        """Note a moment."""
        self._moments.append(now)
        self.peak = max(self.peak, self.held(now))


class Limits:
    """The account's limit and one for each endpoint; None means none. Only accepted requests count."""

    def __init__(self, account: int | None, endpoint: int | None) -> None:
        self._account = account
        self._endpoint = endpoint
        self._whole = Log()
        self._each: dict[str, Log] = defaultdict(Log)

    def exceeded(self, endpoint: str, now: float) -> str | None:
        """Take a request in and give None, or give the reason why it is over a limit."""
        if self._account is not None and self._whole.held(now) >= self._account:
            return "global-rate"
        log = self._each[endpoint]
        if self._endpoint is not None and log.held(now) >= self._endpoint:
            return "endpoint-rate"
        self._whole.add(now)
        log.add(now)
        return None


class Stats:
    """What was asked and how it was answered."""

    def __init__(self) -> None:
        self.total = 0
        self.answers: Counter[tuple[str, int]] = Counter()
        """Requests by endpoint and status."""
        self.throttled: Counter[str] = Counter()
        """429 answers by reason; `none` for those without one."""
        self._whole = Log()
        self._each: dict[str, Log] = defaultdict(Log)

    def arrived(self, endpoint: str, now: float) -> None:
        """Note a request that came in, whatever its answer will be."""
        self.total += 1
        self._whole.add(now)
        self._each[endpoint].add(now)

    def answered(self, endpoint: str, status: int, reason: str | None) -> None:
        """Note an answer; status 0 is a connection cut."""
        self.answers[endpoint, status] += 1
        if status == 429:
            self.throttled[reason or "none"] += 1

    @property
    def peak(self) -> int:
        """Most requests seen within any one second."""
        return self._whole.peak

    @property
    def peaks(self) -> dict[str, int]:
        """Most requests seen within any one second, by endpoint."""
        return {endpoint: log.peak for endpoint, log in self._each.items()}

    def as_json(self) -> dict[str, Any]:
        """Give all numbers as plain values."""
        answers: dict[str, dict[str, int]] = defaultdict(dict)
        for (endpoint, status), count in self.answers.items():
            answers[endpoint][str(status)] = count
        return {"total": self.total, "answers": answers, "throttled": self.throttled, "peak": self.peak, "peaks": self.peaks}
