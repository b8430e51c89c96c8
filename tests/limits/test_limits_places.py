"""How many are under way or wait at once, and that nobody is lost who fails, is cancelled or comes too late. All in virtual time."""

import asyncio

import pytest
from limits.asking import PAGE, Served, ask
from virtual_time import run

from stripe_assets.errors import TooManyWaiting
from stripe_assets.limits.limiter import Limiter, Limits
from stripe_assets.limits.priority import Priority
from stripe_assets.limits.tally import Snapshot


@pytest.mark.parametrize("most", [1, 3, 64])
def test_never_more_than_so_many_are_under_way(most: int) -> None:
    """Stripe limits concurrency too, and every request under way is a connection and a page in memory."""

    async def main() -> tuple[int, int]:
        limiter = Limiter(Limits(None, None, in_flight=most))
        under_way, peak, served = 0, 0, 0

        async def one(turn: int) -> None:
            nonlocal under_way, peak, served
            async with limiter.slot(f"endpoint {turn % 7}", priority=PAGE):
                under_way += 1
                peak = max(peak, under_way)
                await asyncio.sleep(0.1 + turn % 5 / 10)
                under_way -= 1
                served += 1

        await asyncio.gather(*(one(turn) for turn in range(200)))
        return peak, served

    assert run(main()) == (most, 200)


def test_a_request_that_fails_gives_its_place_back() -> None:
    """Errors are everyday: each one that kept its place would slow the sync until it stands."""

    async def main() -> Snapshot:
        limiter = Limiter(Limits(None, None, in_flight=1))
        for _ in range(3):
            with pytest.raises(ValueError, match="broken"):
                async with limiter.slot("charges", priority=PAGE):
                    raise ValueError("broken")
        return limiter.snapshot()

    left = run(main())
    assert (left.in_flight, left.waiting, left.granted) == (0, 0, 3)


def test_a_cancelled_waiter_leaves_the_queue() -> None:
    """Nobody may wait behind somebody who has gone."""

    async def main() -> tuple[Snapshot, Served, Snapshot]:
        limiter, served = Limiter(Limits(None, None, in_flight=1)), Served()
        async with limiter.slot("charges", priority=PAGE):
            gone = asyncio.create_task(ask(limiter, served, "gone"))
            stays = asyncio.create_task(ask(limiter, served, "stays"))
            await asyncio.sleep(1)
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
            between = limiter.snapshot()
        await stays
        assert gone.cancelled()
        return between, served, limiter.snapshot()

    between, served, after = run(main())
    assert (between.in_flight, between.waiting, between.granted) == (1, 1, 1)
    assert served == [(1.0, "stays")]
    assert (after.in_flight, after.waiting) == (0, 0)


@pytest.mark.parametrize("first", ["the slot is granted", "the waiter is cancelled"])
def test_a_waiter_cancelled_in_the_moment_of_its_grant_gives_the_slot_to_the_next(first: str) -> None:
    """When a run is stopped everything is cancelled in one moment: a place lost then hangs the next run in this process."""

    async def main() -> tuple[bool, Served, Snapshot]:
        limiter, served = Limiter(Limits(None, None, in_flight=1)), Served()
        async with limiter.slot("charges", priority=PAGE):
            gone = asyncio.create_task(ask(limiter, served, "gone"))
            stays = asyncio.create_task(ask(limiter, served, "stays", "events"))
            await asyncio.sleep(1)
            if first == "the waiter is cancelled":
                gone.cancel()
        if first == "the slot is granted":
            gone.cancel()
        await asyncio.gather(gone, stays, return_exceptions=True)
        return gone.cancelled(), served, limiter.snapshot()

    cancelled, served, snapshot = run(main())
    assert (cancelled, served) == (True, [(1.0, "stays")])
    assert (snapshot.in_flight, snapshot.waiting) == (0, 0)


def test_who_waits_when_the_limiter_is_closed_hears_of_it() -> None:
    """A shutdown that leaves one task waiting for ever never ends."""

    async def main() -> tuple[list[object], Snapshot]:
        limiter, served = Limiter(Limits(account=1.0, endpoint=None)), Served()
        waiting = [asyncio.create_task(ask(limiter, served, name)) for name in ("first", "second", "third")]
        await asyncio.sleep(0.5)
        limiter.close()
        found = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 10)
        return [type(each) for each in found], limiter.snapshot()

    found, after = run(main())
    assert found == [type(None), RuntimeError, RuntimeError]
    assert (after.in_flight, after.waiting) == (0, 0)


def test_a_task_group_that_breaks_leaves_the_limiter_clean() -> None:
    """One failing type cancels the readers of its slices, under way and waiting, in one moment."""

    async def main() -> Snapshot:
        limiter, served = Limiter(Limits(account=10.0, endpoint=5.0, in_flight=4)), Served()

        async def fail() -> None:
            await asyncio.sleep(1.5)
            raise ValueError("this type has failed")

        async def read_everything() -> None:
            async with asyncio.TaskGroup() as group:
                for turn in range(40):
                    group.create_task(ask(limiter, served, str(turn), f"endpoint {turn % 3}", Priority(turn % 3), hold=0.7))
                group.create_task(fail())

        with pytest.raises(ExceptionGroup):
            await read_everything()
        assert 4 < len(served) < 40
        left = limiter.snapshot()
        await asyncio.wait_for(asyncio.gather(*(ask(limiter, served, "after", f"endpoint {turn}", hold=0.1) for turn in range(8))), 5)
        return left

    left = run(main())
    assert (left.in_flight, left.waiting) == (0, 0)


def test_more_requests_than_memory_should_hold_may_not_wait() -> None:
    """Work that cannot be done yet is a range or a row; a task for each object of an account would fill the memory."""

    async def main() -> Snapshot:
        limiter, served = Limiter(Limits(account=1.0, waiting=100)), Served()
        tasks = [asyncio.create_task(ask(limiter, served, "any")) for _ in range(101)]
        await asyncio.sleep(0.1)
        with pytest.raises(TooManyWaiting, match="charges would be one more"):
            await ask(limiter, served, "one too many")
        left = limiter.snapshot()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return left

    assert run(main()).waiting == 100
    with pytest.raises(ValueError, match="20,000"):
        Limits(waiting=20_001)
