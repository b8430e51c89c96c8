"""Several consumers at one channel, and producers that never have to wait: everybody gets their turn. All in virtual time."""

import asyncio
from collections.abc import Callable
from contextvars import Context
from itertools import pairwise
from typing import Any

import pytest
from virtual_time import VirtualTimeLoop, run

from stripe_assets.queues.channel import BURST, Channel


class CountingLoop(VirtualTimeLoop):
    """Counts what it is asked to run."""

    callbacks = 0

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> asyncio.Handle:
        self.callbacks += 1
        return super().call_soon(callback, *args, context=context)


def now() -> float:
    return asyncio.get_running_loop().time()


async def settle() -> None:
    """Let everybody run who can."""
    await asyncio.sleep(0.01)


@pytest.mark.parametrize("consumers", [1, 50])
def test_batch_wakes_one_consumer_however_many_wait(consumers: int) -> None:
    """Fifty that wake for every batch, and fifty that look and lie down again, would be slower than one."""

    async def main(loop: CountingLoop) -> tuple[int, int]:
        channel: Channel[int] = Channel(100)
        tasks = [asyncio.create_task(channel.drain(items=10, within=60)) for _ in range(consumers)]
        await settle()
        before = loop.callbacks
        for item in range(10):
            assert channel.try_submit(item)
        await settle()
        callbacks, served = loop.callbacks - before, sum(task.done() for task in tasks)
        channel.close()
        return callbacks, served

    loop = CountingLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        callbacks, served = runner.run(main(loop))
    assert served == 1
    assert callbacks == 3  # the end of the channel's turn, the one consumer, and `settle`


def test_batches_go_to_those_who_wait_in_the_order_of_their_coming() -> None:
    async def main() -> list[list[int]]:
        channel: Channel[int] = Channel(100)
        tasks = [asyncio.create_task(channel.drain(items=2, within=60)) for _ in range(3)]
        await settle()
        for item in range(6):
            await channel.submit(item)
        return await asyncio.gather(*tasks)

    assert run(main()) == [[0, 1], [2, 3], [4, 5]]


def test_who_wants_less_is_served_while_who_wants_more_goes_on_waiting() -> None:
    """The order of coming decides among those for whom a batch is there, not who may have one."""

    async def main() -> tuple[list[int], float, list[int], float]:
        channel: Channel[int] = Channel(100)
        patient = asyncio.create_task(channel.drain(items=50, within=30))
        await settle()
        hasty = asyncio.create_task(channel.drain(items=50, within=3))
        small = asyncio.create_task(channel.drain(items=2, within=60))
        asyncio.get_running_loop().call_at(1, channel.try_submit, 1)
        asyncio.get_running_loop().call_at(2, channel.try_submit, 2)
        assert await small == [1, 2]
        assert now() == pytest.approx(2)
        asyncio.get_running_loop().call_at(5, channel.try_submit, 3)
        first, at = await hasty, now()
        asyncio.get_running_loop().call_at(10, channel.try_submit, 4)
        return first, at, await patient, now()

    first, at, last, end = run(main())
    assert (first, last) == ([3], [4])
    assert (at, end) == (pytest.approx(8), pytest.approx(40))


def test_who_wants_less_is_served_by_items_that_go_straight_in() -> None:
    """They are not looked at one by one, but the one that makes the smaller batch full is."""

    async def main() -> tuple[list[int], float]:
        channel: Channel[int] = Channel(100)
        patient = asyncio.create_task(channel.drain(items=50, within=60))
        small = asyncio.create_task(channel.drain(items=3, within=60))
        await settle()
        for item in range(3):
            await channel.submit(item)
        batch, at = await small, now()
        channel.close()
        assert await patient == []
        return batch, at

    batch, at = run(main())
    assert batch == [0, 1, 2]
    assert at < 1


def test_one_in_a_hurry_joins_those_who_wait_and_the_alarm_is_set_for_it() -> None:
    """The item has been inside for a second then, and an alarm is set for much later."""

    async def main() -> tuple[list[int], float]:
        channel: Channel[int] = Channel(100)
        patient = asyncio.create_task(channel.drain(items=50, within=600))
        asyncio.get_running_loop().call_at(1, channel.try_submit, 1)
        await asyncio.sleep(2)
        batch = await channel.drain(items=50, within=4)
        channel.close()
        assert await patient == []
        return batch, now()

    assert run(main()) == ([1], pytest.approx(5))


def test_alarm_is_set_for_the_first_item_though_others_went_straight_in_before() -> None:
    """They came and were taken in the same moment in which a consumer came to wait for the next."""

    async def main() -> tuple[list[int], float]:
        channel: Channel[int] = Channel(100)

        async def come_and_go() -> None:
            await channel.submit(1)
            await channel.submit(2)
            assert await channel.drain(within=0) == [1, 2]

        first = asyncio.create_task(come_and_go())
        waiting = asyncio.create_task(channel.drain(items=50, within=3))
        last = asyncio.create_task(channel.submit(3))
        await asyncio.gather(first, last)
        return await asyncio.wait_for(waiting, 60), now()

    assert run(main()) == ([3], pytest.approx(3, abs=0.002))


def test_alarm_that_rings_early_is_obeyed() -> None:
    """uvloop rounds to milliseconds: to set it again for the rest would be to wait without rest."""

    class EarlyLoop(CountingLoop):
        def call_at(self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> asyncio.TimerHandle:
            return super().call_at(when - 0.0005, callback, *args, context=context)

    async def main(loop: CountingLoop) -> tuple[list[int], int]:
        channel: Channel[int] = Channel(100)
        assert channel.try_submit(1)
        await asyncio.sleep(1)
        before = loop.callbacks
        return await channel.drain(items=2, within=3), loop.callbacks - before

    loop = EarlyLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        assert runner.run(main(loop)) == ([1], 1)


def test_consumer_cancelled_in_the_moment_of_its_call_leaves_the_batch_to_the_next() -> None:
    """A batch that nobody is called for would lie there until the next one."""

    async def main() -> tuple[list[int], float]:
        channel: Channel[int] = Channel(100)
        gone, stays = (asyncio.create_task(channel.drain(items=2, within=600)) for _ in range(2))
        await settle()
        assert channel.try_submit(1)
        assert channel.try_submit(2)
        gone.cancel()
        batch = await stays
        assert gone.cancelled()
        return batch, now()

    batch, at = run(main())
    assert batch == [1, 2]
    assert at < 1


def test_consumer_whose_batch_was_taken_by_a_newcomer_is_the_next_to_be_served() -> None:
    """It was called and came in vain; it must not lose its place as well."""

    async def main() -> tuple[list[int], list[list[int]]]:
        channel: Channel[int] = Channel(100)
        first, second = (asyncio.create_task(channel.drain(items=2, within=60)) for _ in range(2))
        await settle()
        await channel.submit(1)
        await channel.submit(2)
        newcomer = await channel.drain(items=2, within=60)
        await settle()
        for item in range(3, 7):
            await channel.submit(item)
        return newcomer, await asyncio.gather(first, second)

    assert run(main()) == ([1, 2], [[3, 4], [5, 6]])


def test_hurry_is_for_one_batch() -> None:
    """Somebody waits for what is inside now, not for whatever may come."""

    async def main() -> tuple[list[list[int]], list[bool]]:
        channel: Channel[int] = Channel(100)
        tasks = [asyncio.create_task(channel.drain(items=10, within=60)) for _ in range(2)]
        await channel.submit(1)
        await settle()
        channel.hurry()
        await channel.submit(2)
        await settle()
        await channel.submit(3)
        await settle()
        served = [task.done() for task in tasks]
        channel.close()
        return await asyncio.gather(*tasks), served

    assert run(main()) == ([[1, 2], [3]], [True, False])


def test_closing_ends_all_consumers_and_what_is_left_goes_to_the_first() -> None:
    async def main() -> tuple[list[list[int]], float]:
        channel: Channel[int] = Channel(100)
        tasks = [asyncio.create_task(channel.drain(items=10, within=60)) for _ in range(4)]
        await settle()
        await channel.submit(1)
        channel.close()
        return await asyncio.gather(*tasks), now()

    batches, at = run(main())
    assert batches == [[1], [], [], []]
    assert at < 1


@pytest.mark.parametrize("weigh", [None, lambda _: 1.0], ids=["by number", "by weight"])
def test_producer_that_need_not_wait_lets_others_run(weigh: Callable[[int], float] | None) -> None:
    """There is room for a million, and still the answers of other requests must not wait until all are in."""

    async def main() -> list[int]:
        channel: Channel[int] = Channel(1_000_000, weigh=weigh)
        seen: list[int] = []

        async def produce() -> None:
            for item in range(1000):
                await channel.submit(item)

        async def watch() -> None:
            while not seen or seen[-1] < 2000:
                seen.append(len(channel))
                await asyncio.sleep(0)

        await asyncio.gather(watch(), produce(), produce())
        return seen

    seen = run(main())
    steps = [after - before for before, after in pairwise(seen)]
    assert max(steps) <= 2 * BURST
    assert min(steps[:-2]) > BURST  # nor do they stop for each item


def test_producers_get_through_at_one_pace() -> None:
    """One that fills the channel alone, while the others find no room, would finish its list before they begin theirs."""

    async def main() -> list[int]:
        channel: Channel[int] = Channel(300)
        brought = [0] * 5

        async def produce(number: int) -> None:
            while True:
                await channel.submit(number)
                brought[number] += 1

        producers = [asyncio.create_task(produce(number)) for number in range(5)]
        for _ in range(200):
            await channel.drain(items=100, within=60)
        for producer in producers:
            producer.cancel()
        return brought

    brought = run(main())
    assert max(brought) - min(brought) <= 2 * BURST


def test_batch_is_bounded_by_number_and_by_weight() -> None:
    """What is large fills the memory, what is small fills the transaction."""

    async def main() -> list[list[int]]:
        channel: Channel[int] = Channel(1000, weigh=float)
        for weight in (1, 1, 1, 1, 50, 60, 1):
            await channel.submit(weight)
        return [await channel.drain(100, items=3, within=0) for _ in range(3)]

    assert run(main()) == [[1, 1, 1], [1, 50], [60, 1]]


def test_batch_of_nothing_is_a_batch_of_one() -> None:
    """An empty one would say that the channel has ended."""

    async def main() -> list[list[int]]:
        plain: Channel[int] = Channel(10)
        weighed: Channel[int] = Channel(10, weigh=float)
        batches = []
        for channel in (plain, weighed):
            for item in (1, 2):
                await channel.submit(item)
            batches += [await channel.drain(0, within=60), await channel.drain(items=0, within=60)]
        return batches

    assert run(main()) == [[1], [2], [1], [2]]


def test_fullness_tells_the_limiter_when_to_stop() -> None:
    """From half full on nothing more should be asked for; who waits at the door waits because it is full, whatever it weighs."""

    async def main() -> list[float]:
        channel: Channel[int] = Channel(10, weigh=float)
        seen = [channel.fullness]
        await channel.submit(5)
        seen.append(channel.fullness)
        waiting = asyncio.create_task(channel.submit(20))
        await settle()
        seen.append(channel.fullness)
        await channel.drain(within=0)
        seen.append(channel.fullness)
        await waiting
        await channel.drain(within=0)
        return [*seen, channel.fullness]

    assert run(main()) == [0.0, 0.5, 1.0, 1.0, 0.0]


def test_channel_without_room_is_refused() -> None:
    """It would have to let one in at a time, which nobody means who writes 0."""
    with pytest.raises(ValueError, match="a channel needs room: 0"):
        run(_make(0))


async def _make(capacity: float) -> Channel[int]:
    return Channel(capacity)
