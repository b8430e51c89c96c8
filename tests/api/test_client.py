"""One request: how often it is tried, how long it pauses, and that each fault of Stripe's ends as it should. In virtual time."""

import asyncio
import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from virtual_time import run

from stripe_assets.api.answers import Answer, read_page
from stripe_assets.api.client import (
    ATTEMPTS,
    LONGEST_ANSWER,
    LONGEST_ASKED_FOR,
    LONGEST_PAUSE,
    THROTTLED_ATTEMPTS,
    TIMEOUT,
    Request,
    StripeClient,
)
from stripe_assets.errors import MirrorError, Rejected, RequestError, Throttled, Transient, Unauthorized
from stripe_assets.limits.limiter import Limits
from stripe_assets.limits.priority import Priority
from stripe_assets.limits.tally import Snapshot
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.faults import NAMES
from stripe_assets.simulator.http import application

MakeClient = Callable[..., StripeClient]
CHARGES = Request("/v1/charges", "GET /v1/charges", Priority.PAGE, {"limit": 100})
LIMITER_SPOKE = ["rate-limit", "endpoint-rate-limit", "concurrency", "endpoint-concurrency", "resource-limit"]
UNANSWERED = {"timeout": TIMEOUT.read or 0.0, "drip": LONGEST_ANSWER}
"""Seconds that each of these is waited for."""
UNNAMED = {"reset", "truncated", "too-long", "garbled", "drip", "timeout", "dns"}
"""Faults after which there is no whole answer that could tell the id of the request."""


def body(answer: Answer) -> bytes:
    return answer.body


@dataclass
class Moody:
    """An ASGI callable for what no simulator of Stripe does: answers from a list, the last one for ever."""

    answers: list[tuple[int, dict[str, str], bytes]]
    asked_at: list[float] = field(default_factory=list)

    async def __call__(self, _scope: Any, _receive: Any, send: Any) -> None:
        status, headers, content = self.answers[min(len(self.asked_at), len(self.answers) - 1)]
        self.asked_at.append(asyncio.get_running_loop().time())
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        await send({"type": "http.response.body", "body": content})

    @property
    def pauses(self) -> list[float]:
        """Give the seconds between one attempt and the next."""
        return [later - earlier for earlier, later in pairwise(self.asked_at)]


def ask(client: StripeClient, read: Callable[[Answer], Any] = body, request: Request = CHARGES) -> tuple[Any, float]:
    """Ask once in virtual time; give the result or the error, and the seconds that it took."""

    async def main() -> tuple[Any, float]:
        result: Any
        async with client:
            try:
                result = await client.get(request, read)
            except MirrorError as error:
                result = error
        assert (client.limiter.snapshot().in_flight, client.limiter.waiting()) == (0, 0)
        return result, asyncio.get_running_loop().time()

    return run(main())


def test_a_page_of_the_account_arrives(account: Account, make_client: MakeClient) -> None:
    """The whole way once: Stripe's own order, whole objects."""
    page, _ = ask(make_client(application(account)), read_page)
    charges = account.objects("charge")
    assert len(page.objects) == 100
    assert (page.first.id, page.last.id, page.last.created) == (charges[0]["id"], charges[99]["id"], charges[99]["created"])
    assert page.has_more == (len(charges) > 100)


@pytest.mark.parametrize("name", NAMES)
def test_each_fault_now_and_then_ends_in_the_same_page(account: Account, make_client: MakeClient, name: str) -> None:
    """Networks and Stripe have bad moments: a sync of a million requests meets all of them."""
    expected, _ = ask(make_client(application(account)), read_page)

    async def main() -> list[Any]:
        app = application(account, faults={name: 0.3}, seed=5)
        async with make_client(app, limits=Limits(None, None)) as client:
            pages = await asyncio.gather(*(client.get(CHARGES, read_page) for _ in range(20)))
        assert app.stats.total > 20 or name == "slow"
        return pages

    assert run(main()) == [expected] * 20


@pytest.mark.parametrize("name", sorted({*NAMES} - {"slow"}))
def test_a_fault_that_does_not_end_is_given_up_after_bounded_attempts_and_time(
    account: Account, make_client: MakeClient, name: str
) -> None:
    """With the error that says what it was; never an endless loop, never a fault of another kind."""
    app = application(account, faults={name: 1.0})
    error, seconds = ask(make_client(app), read_page)
    throttled, by_limiter = name in [*LIMITER_SPOKE, "lock-timeout"], name in LIMITER_SPOKE
    attempts = THROTTLED_ATTEMPTS if by_limiter else ATTEMPTS
    assert type(error) is (Throttled if throttled else Transient)
    assert app.stats.total == attempts
    assert str(error).endswith(f"(given up after {attempts} attempts)")
    assert error.path == "/v1/charges"
    assert (error.request_id or "").startswith("req_") == (name not in UNNAMED)
    seconds -= ATTEMPTS * UNANSWERED.get(name, 0.0)
    assert (60 if by_limiter else 20) < seconds < (600 if by_limiter else 80)


def test_a_slow_answer_is_waited_for(account: Account, make_client: MakeClient) -> None:
    """Five seconds are no fault."""
    app = application(account, faults={"slow": 1.0})
    page, seconds = ask(make_client(app), read_page)
    assert (len(page.objects), seconds, app.stats.total) == (100, 5.0, 1)


@pytest.mark.parametrize(
    "damage", [b"<html>", b'{"object":"list","da', b'{"data":[{"id":"\xff"}],"has_more":false}', b'{"data":[],"has_mo']
)
def test_a_damaged_body_is_asked_for_again(make_client: MakeClient, damage: bytes) -> None:
    """What was wrong with it may be over a moment later."""
    app = Moody([(200, {}, damage), (200, {}, damage), (200, {}, b'{"data":[],"has_more":false}')])
    page, _ = ask(make_client(app), read_page)
    assert (page.objects, page.has_more, len(app.asked_at)) == ((), False, 3)


def test_pauses_grow_and_are_jittered_and_bounded(make_client: MakeClient) -> None:
    """Clients that come back all at once, or at once, keep a struggling server down."""
    app = Moody([(500, {}, b"")])
    ask(make_client(app))
    longest = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 20.0]
    assert len(app.pauses) == len(longest)
    assert all(most / 2 <= pause <= most + 0.1 for pause, most in zip(app.pauses, longest, strict=True)), app.pauses
    assert len({round(pause / most, 3) for pause, most in zip(app.pauses, longest, strict=True)}) == len(longest)


def test_pauses_after_a_limiters_429_grow_more_slowly(make_client: MakeClient) -> None:
    """All is well, only somebody else is faster: a short wait first, but patience for minutes."""
    app = Moody([(429, {"stripe-rate-limited-reason": "resource-specific"}, b"")])
    error, seconds = ask(make_client(app))
    assert isinstance(error, Throttled)
    assert len(app.pauses) == THROTTLED_ATTEMPTS - 1
    assert app.pauses[0] <= 0.2
    assert max(app.pauses) <= 20.0
    assert sum(app.pauses[:10]) < sum(app.pauses[10:20]) < sum(app.pauses[20:30])
    assert 120 < seconds < 600


def test_retries_of_different_kinds_are_counted_apart(make_client: MakeClient) -> None:
    """Many 429s of a busy limiter are no reason to give up at the first lock timeout after them."""
    busy, locked = (429, {"stripe-rate-limited-reason": "global-rate"}, b""), (429, {}, b"")
    app = Moody([busy] * 20 + [locked] * 3 + [(503, {}, b"")] * 3 + [busy] * 5 + [(200, {}, b"done")])
    assert ask(make_client(app))[0] == b"done"
    assert len(app.asked_at) == 32


REASONS = [None, "global-rate", "endpoint-rate", "global-concurrency", "resource-specific"]
COME_BACK = [*((429, {"stripe-rate-limited-reason": reason} if reason else {}) for reason in REASONS), (503, {}), (500, {}), (409, {})]


@pytest.mark.parametrize(("status", "headers"), COME_BACK)
def test_retry_after_is_obeyed(make_client: MakeClient, status: int, headers: dict[str, str]) -> None:
    """Whoever knows best says when to come back."""
    app = Moody([(status, {"retry-after": "33", **headers}, b""), (200, {}, b"done")])
    assert ask(make_client(app))[0] == b"done"
    assert len(app.pauses) == 1
    assert 33 <= app.pauses[0] <= 34


@pytest.mark.parametrize(("status", "headers"), COME_BACK)
def test_no_retry_after_stops_a_sync_for_long(make_client: MakeClient, status: int, headers: dict[str, str]) -> None:
    """A balancer that says `86400` means something else: the question is put again, for everyone who waits for that bucket."""
    app = Moody([(status, {"retry-after": "86400", **headers}, b""), (200, {}, b"done")])
    assert ask(make_client(app))[0] == b"done"
    assert len(app.pauses) == 1
    assert LONGEST_ASKED_FOR <= app.pauses[0] <= LONGEST_ASKED_FOR + 1


def test_a_server_that_is_down_and_says_so_is_given_up_after_bounded_time(make_client: MakeClient) -> None:
    """Seven pauses of a minute: long enough for a restart, short enough for somebody who waits."""
    app = Moody([(503, {"retry-after": "3600"}, b"")])
    error, seconds = ask(make_client(app))
    assert isinstance(error, Transient)
    assert (error.retry_after, len(app.asked_at)) == (3600.0, ATTEMPTS)
    assert LONGEST_ASKED_FOR * (ATTEMPTS - 1) < seconds < (LONGEST_ASKED_FOR + LONGEST_PAUSE) * (ATTEMPTS - 1)


@pytest.mark.parametrize(
    ("reason", "rates", "in_flight"),
    [
        ("global-rate", {"account"}, set()),
        ("endpoint-rate", {"GET /v1/charges"}, set()),
        ("global-concurrency", set(), {"account"}),
        ("endpoint-concurrency", set(), {"GET /v1/charges"}),
    ],
)
def test_a_limiters_429_reaches_the_limiter(make_client: MakeClient, reason: str, rates: set[str], in_flight: set[str]) -> None:
    """The next requests have to be fewer, of what the reason names."""

    async def main() -> Snapshot:
        busy, locked = (429, {"stripe-rate-limited-reason": reason}, b""), (429, {}, b"")
        app = Moody([busy] * 8 + [locked] * 2 + [(200, {}, b"done")])
        async with make_client(app) as client:
            await asyncio.gather(*(client.get(CHARGES, body) for _ in range(8)))
            return client.limiter.snapshot()

    snapshot = run(main())
    assert (snapshot.learned_rates.keys(), snapshot.learned_in_flight.keys()) == (rates, in_flight)
    assert snapshot.throttled == {reason: 8, "no reason given": 2}


@pytest.mark.parametrize(
    ("status", "headers", "attempts"),
    [
        (400, {}, 1),
        (401, {}, 1),
        (403, {}, 1),
        (404, {}, 1),
        (500, {"stripe-should-retry": "false"}, 1),
        (409, {}, 2),
        (400, {"stripe-should-retry": "true"}, 2),
    ],
)
def test_only_what_may_help_is_tried_again(make_client: MakeClient, status: int, headers: dict[str, str], attempts: int) -> None:
    """Requests cost: Stripe counts them against an allowance."""
    app = Moody([(status, headers, b'{"error":{"message":"no","param":"limit"}}'), (200, {}, b"done")])
    result, _ = ask(make_client(app))
    assert len(app.asked_at) == attempts
    assert (result == b"done") == (attempts == 2)


def test_a_pause_holds_no_slot(make_client: MakeClient) -> None:
    """A request that waits for its next attempt is not under way: others go on."""

    async def main() -> list[float]:
        app = Moody([(500, {}, b""), (200, {}, b"done")])
        done: list[float] = []
        async with make_client(app, limits=Limits(None, None, in_flight=1)) as client:

            async def one() -> None:
                await client.get(CHARGES, body)
                done.append(asyncio.get_running_loop().time())

            await asyncio.gather(one(), one(), one())
        return done

    done = run(main())
    assert done[:2] == [0.0, 0.0]
    assert 0.25 <= done[2] <= 0.5


def test_a_cancelled_request_leaves_the_limiter_clean(account: Account, make_client: MakeClient) -> None:
    """Under way, waiting for a slot, or in the pause before another attempt."""

    async def main() -> list[int]:
        app = application(account, latency=2.0, faults={"server-error": 0.5})
        async with make_client(app, limits=Limits(10.0, None, in_flight=3)) as client:
            tasks = [asyncio.create_task(client.get(CHARGES, read_page)) for _ in range(30)]
            await asyncio.sleep(5.05)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            snapshot = client.limiter.snapshot()
        return [snapshot.in_flight, snapshot.waiting]

    assert run(main()) == [0, 0]


def test_the_configured_rate_is_kept_through_retries(account: Account, make_client: MakeClient) -> None:
    """Stripe counts every attempt, also those that failed."""

    async def main() -> tuple[int, int, int]:
        app = application(account, account_limit=10, endpoint_limit=10, latency=0.3, faults={"server-error": 0.2}, seed=2)
        async with make_client(app, limits=Limits(10.0, 10.0)) as client:
            await asyncio.gather(*(client.get(CHARGES, read_page) for _ in range(100)))
        assert client.requests == {"GET /v1/charges": app.stats.total}
        return app.stats.peak, sum(app.stats.throttled.values()), app.stats.total

    peak, throttled, total = run(main())
    assert (peak, throttled) == (10, 0)
    assert total > 110


def test_version_and_connected_account_are_named(account: Account, make_client: MakeClient) -> None:
    """At another version columns change their shape; without the account the platform's own rows would be mirrored."""
    seen: list[dict[bytes, bytes]] = []

    async def look(scope: Any, receive: Any, send: Any) -> None:
        seen.append(dict(scope["headers"]))
        await application(account)(scope, receive, send)

    ask(make_client(look, account=account.id))
    named = (b"stripe-version", b"stripe-account", b"authorization", b"accept-encoding")
    assert [seen[0][name] for name in named] == [
        b"2026-05-27.dahlia",
        account.id.encode(),
        b"Bearer sk_test_51Habcdefghijklmnopqrstuvwxyz_simulator",
        b"gzip, deflate",
    ]


@pytest.mark.parametrize("name", [None, *NAMES, "wrong key", "restricted", "wrong version"])
def test_the_key_is_in_no_error_and_in_no_log(
    account: Account, make_client: MakeClient, name: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """P8: logs and errors are copied into tickets and chats."""
    caplog.set_level(logging.DEBUG)
    key = "sk_test_51HabcdefghijklmnopqrstuvwX"
    keys = {"restricted": {key: {"charges"}}, "wrong key": {}}.get(name or "", {key: None})
    client = make_client(application(account, faults={name: 1.0} if name in NAMES else None, keys=keys), api_key=key)
    request = Request("/v1/nothing" if name == "wrong version" else "/v1/charges", "GET /v1/charges", Priority.PAGE)
    result, _ = ask(client, read_page, request)
    if isinstance(result, RequestError):
        logging.getLogger("test").error("failed", exc_info=result)
    else:
        assert name in (None, "slow")
    assert "51Habc" not in "\n".join([repr(client), repr(client.limiter), repr(result), *everything_said_by(result), caplog.text])


def everything_said_by(error: Any) -> list[str]:
    """Give each text that can be got out of an error: those of its causes and contexts, and its attributes."""
    said: list[str] = []
    while isinstance(error, BaseException):
        said += [str(error), repr(error), repr(vars(error)), *traceback.format_exception(error)]
        error = error.__cause__ or error.__context__
    return said


def test_errors_name_what_was_asked(account: Account, make_client: MakeClient) -> None:
    """A dead letter has to be understood without the log."""
    app = application(account, keys={})
    error, _ = ask(make_client(app, api_key="sk_test_0000"))
    assert type(error) is Unauthorized
    assert (error.path, error.status, error.request_id) == ("/v1/charges", 401, app.requests[-1].request_id)
    assert str(error).startswith(f"GET /v1/charges (request {error.request_id}): Invalid API Key provided")
    cut, _ = ask(make_client(application(account, faults={"reset": 1.0})))
    assert str(cut).startswith("GET /v1/charges: no whole answer from stripe.test: ")


def test_an_unknown_parameter_is_rejected_with_stripes_words(account: Account, make_client: MakeClient) -> None:
    """And asked once."""
    app = application(account)
    error, _ = ask(make_client(app), request=Request("/v1/charges", "GET /v1/charges", Priority.PAGE, {"limit": 0}))
    assert (type(error), error.status, app.stats.total) == (Rejected, 400, 1)
