"""The room of the channel between network and database: order, bounds, waiting, giving up. All in virtual time."""

import asyncio

import pytest
from queues.channels import now, settle, weighed
from virtual_time import run

from stripe_assets.queues.channel import Channel


def test_items_come_out_in_the_order_in_which_they_went_in() -> None:
    """The progress of a slice is stored by its pages in their order."""

    async def main() -> list[int]:
        channel: Channel[int] = Channel(100)
        for item in range(10):
            await channel.submit(item)
        return await channel.drain(3, within=0) + await channel.drain(100, within=0)

    assert run(main()) == list(range(10))


def test_nothing_goes_in_beyond_the_capacity() -> None:
    """Memory stays flat however slow the database is."""

    async def main() -> tuple[list[bool], float, int]:
        channel = weighed(10)
        return [channel.try_submit(weight) for weight in (4, 6, 1)], channel.weight, len(channel)

    assert run(main()) == ([True, True, False], 10.0, 2)


def test_a_full_channel_lets_its_producer_wait_until_there_is_room() -> None:
    """That is the back-pressure: what cannot be stored is not fetched."""

    async def main() -> tuple[list[int], float, list[int]]:
        channel = weighed(10)
        await channel.submit(7)
        waiting = asyncio.create_task(channel.submit(5))
        await asyncio.sleep(3)
        assert not waiting.done()
        assert len(channel) == 1
        first = await channel.drain(10, within=60)
        await waiting
        return first, now(), await channel.drain(10, within=0)

    first, at, second = run(main())
    assert (first, second) == ([7], [5])
    assert at == pytest.approx(3)


def test_an_item_heavier_than_the_capacity_goes_in_alone() -> None:
    """A single page may be larger than what was planned for: to refuse it for ever would hang the sync."""

    async def main() -> tuple[list[bool], list[list[int]]]:
        channel = weighed(10)
        tried = [channel.try_submit(1), channel.try_submit(25)]
        heavy, light = asyncio.create_task(channel.submit(25)), asyncio.create_task(channel.submit(2))
        batches = []
        for _ in range(3):
            await settle()
            assert len(channel) == 1
            batches.append(await channel.drain(10, within=0))
        await asyncio.gather(heavy, light)
        return tried, batches

    assert run(main()) == ([True, False], [[1], [25], [2]])


def test_producers_are_let_in_first_come_first_served() -> None:
    """A light item may not overtake a heavy one that waits, or the heavy one would wait for ever."""

    async def main() -> list[int]:
        channel = weighed(10)
        await channel.submit(10)
        waiting = [asyncio.create_task(channel.submit(weight)) for weight in (8, 7, 1, 9, 2)]
        await settle()
        out: list[int] = []
        while len(out) < 6:
            out += await channel.drain(10, within=0)
            assert channel.weight <= 10
            await settle()
        await asyncio.gather(*waiting)
        return out

    assert run(main()) == [10, 8, 7, 1, 9, 2]


def test_a_newcomer_does_not_overtake_who_was_just_called() -> None:
    """Between being called and running again a producer must not lose its place."""

    async def main() -> tuple[bool, list[int]]:
        channel = weighed(10)
        await channel.submit(10)
        waiting = asyncio.create_task(channel.submit(8))
        await settle()
        out = await channel.drain(10, within=0)
        tried = channel.try_submit(5)
        await waiting
        return tried, out + await channel.drain(10, within=0)

    assert run(main()) == (False, [10, 8])


def test_two_batches_at_once_keep_the_order_of_those_who_wait() -> None:
    """The database may be faster than the event loop's next round."""

    async def main() -> list[int]:
        channel = weighed(4)
        for weight in (2, 2):
            await channel.submit(weight)
        waiting = [asyncio.create_task(channel.submit(weight)) for weight in (3, 4, 1, 2)]
        await settle()
        out = await channel.drain(2, within=0)
        out += await channel.drain(2, within=0)
        while len(out) < 6:
            out += await channel.drain(2, within=0)
        await asyncio.gather(*waiting)
        return out

    assert run(main()) == [2, 2, 3, 4, 1, 2]


def test_submit_gives_up_after_its_timeout_and_leaves_nothing_inside() -> None:
    """Who hears that it was not taken will submit it again: it may not be there twice."""

    async def main() -> tuple[float, list[int], str]:
        channel = weighed(10)
        await channel.submit(10)
        with pytest.raises(TimeoutError):
            await channel.submit(3, timeout=2.5)
        at = now()
        return at, await channel.drain(100, within=0), repr(channel)

    assert run(main()) == (2.5, [10], "<Channel open, 0 items, 0 of 10, 0 at the door, 0 in line>")


def test_a_timeout_lets_the_next_in_line_in() -> None:
    """It may be light enough where the one that gave up was not."""

    async def main() -> tuple[bool, list[int]]:
        channel = weighed(10)
        await channel.submit(6)
        heavy = asyncio.create_task(channel.submit(5, timeout=1))
        light = asyncio.create_task(channel.submit(4))
        await asyncio.sleep(2)
        with pytest.raises(TimeoutError):
            await heavy
        return light.done(), await channel.drain(10, within=0)

    assert run(main()) == (True, [6, 4])


def test_room_and_timeout_in_one_moment_are_one_or_the_other() -> None:
    """Taken and reported as not taken would be stored twice, not taken and reported as taken would be lost."""

    async def main() -> tuple[list[str], list[int]]:
        channel: Channel[int] = Channel(1)
        await channel.submit(-1)
        out: list[int] = []

        async def produce(item: int) -> str:
            try:
                await channel.submit(item, timeout=1.0)
            except TimeoutError:
                return "given up"
            return "taken"

        async def consume() -> None:
            await asyncio.sleep(1.0)
            for _ in range(4):
                out.extend(await channel.drain(1, within=0) if len(channel) else [])

        producers = [asyncio.create_task(produce(item)) for item in range(3)]
        consumer = asyncio.create_task(consume())
        said = await asyncio.gather(*producers)
        await consumer
        while len(channel):
            out += await channel.drain(1, within=0)
        return said, out

    said, out = run(main())
    assert out == [-1, *(item for item in range(3) if said[item] == "taken")]


def test_submit_without_waiting_room_needs_no_wait() -> None:
    """A timeout of nothing is a single try."""

    async def main() -> tuple[float, list[int]]:
        channel: Channel[int] = Channel(1)
        await channel.submit(1, timeout=0)
        with pytest.raises(TimeoutError):
            await channel.submit(2, timeout=0)
        return now(), await channel.drain(5, within=0)

    assert run(main()) == (0.0, [1])


def test_fractions_do_not_add_up_to_a_weight_that_nobody_put_in() -> None:
    """Float sums drift: an empty channel weighs nothing."""

    async def main() -> list[float]:
        channel: Channel[float] = Channel(1, weigh=lambda weight: weight)
        weights = []
        for _ in range(50):
            for weight in (0.1, 0.2, 0.3, 0.3):
                assert channel.try_submit(weight)
            while len(channel):
                await channel.drain(0.35, within=0)
            weights.append(channel.weight)
        return weights

    assert run(main()) == [0.0] * 50
