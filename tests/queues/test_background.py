"""Work whose result nobody waits for never holds anybody up, never hurts anybody, and is always accounted for. In virtual time."""

import asyncio
import logging
from collections import Counter
from contextvars import ContextVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_time import VirtualTimeLoop, run

from stripe_assets.queues.background import AT_ONCE, CAPACITY, GRACE, Background


def now() -> float:
    return asyncio.get_running_loop().time()


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_what_is_submitted_is_done_though_nobody_waits_for_it() -> None:
    async def main() -> tuple[list[tuple[str, int]], bool, Counter[str]]:
        seen: list[tuple[str, int]] = []

        async def report(page: str, *, rows: int) -> None:
            await asyncio.sleep(1)
            seen.append((page, rows))

        background = Background()
        taken = background.submit("progress", report, "first", rows=100)
        assert seen == []
        await background.close(within=10)
        return seen, taken, background.done

    assert run(main()) == ([("first", 100)], True, Counter(progress=1))


def test_arguments_may_have_any_name() -> None:
    """What `submit` itself is given has none."""

    async def main() -> list[tuple[str, str]]:
        seen = []

        async def notify(name: str, function: str) -> None:
            seen.append((name, function))

        background = Background()
        background.submit("notification", notify, name="a", function="b")
        await background.close(within=1)
        return seen

    assert run(main()) == [("a", "b")]


def test_eight_are_under_way_and_1024_more_may_wait() -> None:
    """An address that answers slowly must not be asked a thousand times at once, nor fill the memory."""

    async def main() -> tuple[list[bool], int, int, float]:
        under_way = most = 0

        async def call() -> None:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(1)
            under_way -= 1

        background = Background()
        taken = [background.submit("notification", call) for _ in range(AT_ONCE + CAPACITY + 3)]
        await background.close(within=1000)
        return taken, most, background.done.total(), now()

    taken, most, done, at = run(main())
    assert (AT_ONCE, CAPACITY) == (8, 1024)
    assert taken == [True] * 1032 + [False] * 3
    assert (most, done) == (8, 1032)
    assert at == pytest.approx(1032 / 8)


def test_they_begin_in_the_order_in_which_they_came() -> None:
    """The last word about progress should not be an old one."""

    async def main() -> list[int]:
        seen: list[int] = []

        async def report(number: int) -> None:
            seen.append(number)
            await asyncio.sleep(number % 3)

        background = Background(at_once=2)
        for number in range(9):
            background.submit("progress", report, number)
        await background.close(within=100)
        return seen

    assert run(main()) == list(range(9))


def test_full_queue_drops_counts_and_warns_once_for_each_name(caplog: pytest.LogCaptureFixture) -> None:
    """A warning for each would be louder than what it warns of; none at all would hide that something is missing."""

    async def main() -> tuple[list[str], str]:
        called: list[str] = []

        async def call(name: str) -> None:
            called.append(name)
            await asyncio.sleep(1)

        background = Background(capacity=2, at_once=1)
        for number in range(4):
            for name in ("progress", "metric"):
                background.submit(name, call, f"{name} {number}")
        await background.close(within=60)
        assert background.dropped == Counter(progress=2, metric=3)
        return called, repr(background)

    called, text = run(main())
    assert called == ["progress 0", "metric 0", "progress 1"]
    assert said(caplog) == [
        ("WARNING", f"background task {name} was dropped: 2 are waiting already; more of them will only be counted")
        for name in ("metric", "progress")
    ]
    assert text == "<Background closed, 0 under way, 0 waiting, 3 done, 0 failed, 5 dropped>"


def test_queue_in_which_nobody_may_wait_does_what_it_can_at_once() -> None:
    async def main() -> list[bool]:
        background = Background(capacity=0, at_once=2)
        taken = [background.submit("metric", asyncio.sleep, 1) for _ in range(3)]
        await asyncio.sleep(2)
        taken.append(background.submit("metric", asyncio.sleep, 1))
        await background.close(within=60)
        return taken

    assert run(main()) == [True, True, False, True]


def test_function_is_not_called_for_what_is_dropped() -> None:
    """A coroutine that is made and never awaited is a warning of Python's, and has perhaps opened something."""

    async def main() -> int:
        calls = 0

        def call() -> asyncio.Future[None]:
            nonlocal calls
            calls += 1
            return asyncio.get_running_loop().create_future()

        background = Background(capacity=1, at_once=1)
        taken = [background.submit("metric", call) for _ in range(5)]
        assert taken == [True, True, False, False, False]
        await background.close(within=1)
        taken.append(background.submit("metric", call))
        assert background.dropped == Counter(metric=6)
        return calls

    assert run(main()) == 1


@pytest.mark.parametrize("how", ["raises", "is no coroutine function", "raises when called", "waits for what is cancelled"])
def test_what_fails_is_logged_and_counted_and_hurts_nobody(how: str, caplog: pytest.LogCaptureFixture) -> None:
    """The others are done, and whoever submitted it hears nothing of it."""

    async def main() -> Background:
        async def raises() -> None:
            await asyncio.sleep(1)
            raise LookupError("no such address")

        def raises_when_called() -> asyncio.Future[None]:
            raise LookupError("no such address")

        def nothing() -> None:
            pass

        async def waits() -> None:
            other = asyncio.get_running_loop().create_future()
            other.cancel()
            await other

        function = {
            "raises": raises,
            "is no coroutine function": nothing,
            "raises when called": raises_when_called,
            "waits for what is cancelled": waits,
        }[how]
        background = Background(at_once=1)
        for name in ("notification", "notification", "metric"):
            assert background.submit(name, function if name == "notification" else asyncio.sleep, *([] if name == "notification" else [1]))
        await background.close(within=60)
        return background

    background = run(main())
    assert (background.failed, background.done, background.dropped) == (Counter(notification=2), Counter(metric=1), Counter())
    assert said(caplog) == [("ERROR", "background task notification failed")] * 2
    assert all(record.exc_info and record.exc_info[1] is not None for record in caplog.records)


def test_closing_waits_for_what_was_taken_but_not_beyond_its_deadline(caplog: pytest.LogCaptureFixture) -> None:
    """A sync that is over must not hang on a notification."""

    async def main() -> tuple[float, Background]:
        background = Background(at_once=2)
        for seconds in (1.0, 3600.0, 1.5, 2.0, 1.0, 1.0):
            background.submit("notification", asyncio.sleep, seconds)
        await background.close(within=4)
        return now(), background

    at, background = run(main())
    assert at == pytest.approx(4)
    assert (background.done, background.dropped) == (Counter(notification=2), Counter(notification=4))
    assert said(caplog) == [("WARNING", "background task notification was dropped: closing came first; more of them will only be counted")]


def test_task_that_is_cut_off_may_tidy_up_undisturbed() -> None:
    """It has a second, even while others end beside it."""

    async def main() -> tuple[list[float], float]:
        tidied: list[float] = []

        async def call(seconds: float) -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                await asyncio.sleep(seconds)
                tidied.append(seconds)

        background = Background()
        for seconds in (0.1, 0.5, 0.2):
            background.submit("notification", call, seconds)
        await background.close(within=2)
        assert background.dropped == Counter(notification=3)
        return tidied, now()

    assert run(main()) == ([0.1, 0.2, 0.5], pytest.approx(2.5))


def test_task_that_will_not_end_does_not_hold_up_closing(caplog: pytest.LogCaptureFixture) -> None:
    """It is named instead."""

    async def main() -> float:
        release = asyncio.get_running_loop().create_future()

        async def call() -> None:
            while not release.done():
                try:
                    await asyncio.shield(release)
                except asyncio.CancelledError:
                    continue

        background = Background()
        background.submit("stubborn", call)
        await background.close(within=2)
        at = now()
        release.set_result(None)
        await asyncio.sleep(0.1)
        assert background.done == Counter(stubborn=1)
        return at

    assert run(main()) == pytest.approx(2 + GRACE)
    assert said(caplog) == [("ERROR", "background task stubborn was cancelled, but goes on")]


def test_closing_that_is_cancelled_leaves_nothing_running() -> None:
    async def main() -> tuple[Counter[str], int]:
        background = Background(at_once=1)
        for _ in range(3):
            background.submit("metric", asyncio.sleep, 3600)
        closing = asyncio.create_task(background.close(within=60))
        await asyncio.sleep(1)
        closing.cancel()
        await asyncio.wait([closing])
        await asyncio.sleep(0.1)
        return background.dropped, len(asyncio.all_tasks())

    assert run(main()) == (Counter(metric=3), 1)


def test_what_a_task_submits_while_closing_is_dropped() -> None:
    """Else two that call each other would go on for ever."""

    async def main() -> Counter[str]:
        background = Background()

        async def again() -> None:
            await asyncio.sleep(1)
            background.submit("again", again)

        background.submit("again", again)
        await background.close(within=60)
        assert background.done == Counter(again=1)
        return background.dropped

    assert run(main()) == Counter(again=1)


def test_end_of_the_event_loop_without_closing_starts_nothing_more(caplog: pytest.LogCaptureFixture) -> None:
    """When the loop ends by an error its tasks are cancelled; one that begins then would never be awaited."""
    kept: list[Background] = []

    async def main() -> None:
        kept.append(Background(at_once=1))
        for _ in range(3):
            kept[0].submit("metric", asyncio.sleep, 3600)
        await asyncio.sleep(1)

    with caplog.at_level(logging.ERROR):
        run(main())
    assert kept[0].dropped == Counter(metric=3)
    assert kept[0].submit("metric", asyncio.sleep, 1) is False
    assert said(caplog) == []


def test_submitting_after_the_loop_was_closed_raises_nothing() -> None:
    """The last words of a run may come from a finaliser."""
    loop = VirtualTimeLoop()

    async def make() -> Background:
        return Background()

    background = loop.run_until_complete(make())
    loop.close()
    assert background.submit("metric", asyncio.sleep, 1) is False
    assert background.dropped == Counter(metric=1)


def test_each_runs_in_the_context_of_whoever_submitted_it() -> None:
    """So that its log lines and traces belong to the right sync, also when it had to wait for another's end."""
    account: ContextVar[str] = ContextVar("account")

    async def main() -> list[str]:
        seen: list[str] = []

        async def report() -> None:
            await asyncio.sleep(1)
            seen.append(account.get())

        background = Background(at_once=1)
        for name in ("acct_1", "acct_2", "acct_3"):
            account.set(name)
            background.submit("progress", report)
        await background.close(within=60)
        return seen

    assert run(main()) == ["acct_1", "acct_2", "acct_3"]


@given(
    tasks=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["sleeps", "raises", "stays"]), st.integers(0, 5)), max_size=40),
    capacity=st.integers(0, 6),
    at_once=st.integers(1, 3),
    within=st.integers(0, 20),
)
@settings(max_examples=150, deadline=None)
def test_every_task_is_done_failed_or_dropped(tasks: list[tuple[int, str, int]], capacity: int, at_once: int, within: int) -> None:
    """Whatever happens, what was submitted is found in one of the counters, and the bounds are kept."""

    async def main() -> None:
        under_way = 0

        async def work(how: str, seconds: int) -> None:
            nonlocal under_way
            under_way += 1
            assert under_way <= at_once
            try:
                await asyncio.sleep(3600 if how == "stays" else seconds)
                if how == "raises":
                    raise LookupError
            finally:
                under_way -= 1

        background = Background(capacity=capacity, at_once=at_once)
        taken = 0
        for pause, how, seconds in tasks:
            taken += background.submit(how, work, how, seconds)
            await asyncio.sleep(pause)
        began = now()
        await background.close(within=within)
        assert now() <= began + within + 0.001
        assert under_way == 0
        ended = background.done + background.failed + background.dropped
        assert ended == Counter(how for _, how, _ in tasks)
        assert background.dropped.total() >= len(tasks) - taken
        assert background.done.keys() <= {"sleeps"}
        assert background.failed.keys() <= {"raises"}
        assert len(asyncio.all_tasks()) == 1

    run(main())
