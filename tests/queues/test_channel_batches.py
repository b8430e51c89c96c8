"""When the channel gives a batch, and how much. All in virtual time."""

import asyncio

import pytest
from queues.channels import now, settle, weighed
from virtual_time import run

from stripe_assets.queues.channel import Channel


def test_a_batch_is_never_empty_while_the_channel_is_open() -> None:
    """An empty batch means the end: a writer that gets one too early stops, and everything after it is lost."""

    async def main() -> list[list[int]]:
        channel: Channel[int] = Channel(1)
        producers = [asyncio.create_task(channel.submit(item)) for item in range(6)]
        await settle()
        batches = [await channel.drain(1, within=0.0) for _ in range(6)]
        await asyncio.gather(*producers)
        return batches

    assert run(main()) == [[0], [1], [2], [3], [4], [5]]


def test_a_batch_is_given_once_it_is_full() -> None:
    """Without waiting for its time to be over."""

    async def main() -> tuple[list[int], float, list[int], float]:
        channel = weighed(100)
        asyncio.get_running_loop().call_later(1, channel.try_submit, 4)
        asyncio.get_running_loop().call_later(2, channel.try_submit, 5)
        asyncio.get_running_loop().call_later(3, channel.try_submit, 6)
        first = await channel.drain(9, within=60)
        at = now()
        return first, at, await asyncio.wait_for(channel.drain(9, within=10), 60), now()

    assert run(main()) == ([4, 5], 2.0, [6], 13.0)


def test_a_batch_is_given_once_its_oldest_item_has_waited_long_enough() -> None:
    """Its age counts from when it went in, not from when somebody came to look."""

    async def main() -> tuple[list[int], float]:
        channel: Channel[int] = Channel(100)
        await channel.submit(1)
        asyncio.get_running_loop().call_later(1.5, channel.try_submit, 2)
        await asyncio.sleep(1)
        return await asyncio.wait_for(channel.drain(50, within=2), 60), now()

    assert run(main()) == ([1, 2], 2.0)


def test_a_batch_weighs_no_more_than_asked_unless_one_item_does() -> None:
    """A transaction's memory is bounded too."""

    async def main() -> list[list[int]]:
        channel = weighed(100)
        for weight in (3, 3, 3, 20, 1):
            await channel.submit(weight)
        return [await channel.drain(7, within=0) for _ in range(4)]

    assert run(main()) == [[3, 3], [3], [20], [1]]


def test_a_channel_that_keeps_producers_waiting_gives_what_it_has() -> None:
    """An item that does not fit is no reason to wait for more: a batch that can never fill must not wait for its time."""

    async def main() -> tuple[list[int], float]:
        channel = weighed(10)
        await channel.submit(6)
        drained = asyncio.create_task(channel.drain(10, within=3600))
        await asyncio.sleep(1)
        producer = asyncio.create_task(channel.submit(5))
        batch = await drained
        await producer
        return batch, now()

    assert run(main()) == ([6], 1.0)


def test_a_batch_larger_than_the_capacity_is_given_when_the_channel_is_full() -> None:
    """It could not become larger."""

    async def main() -> tuple[list[int], float]:
        channel = weighed(10)
        await channel.submit(10)
        return await channel.drain(1000, within=3600), now()

    assert run(main()) == ([10], 0.0)


def test_a_waiting_consumer_gets_what_there_is_when_the_channel_is_full() -> None:
    """Also if it was filled in one go, to the last place, and nobody stands at the door yet."""

    async def main() -> tuple[int, float]:
        channel: Channel[int] = Channel(10)
        waiting = asyncio.create_task(channel.drain(items=1000, within=3600))
        await settle()
        for item in range(10):
            await channel.submit(item)
        return len(await waiting), now()

    assert run(main()) == (10, pytest.approx(0.001))


def test_hurry_gives_the_next_batch_at_once() -> None:
    """Somebody waits for what is inside to be stored."""

    async def main() -> tuple[list[int], float, list[int], float]:
        channel: Channel[int] = Channel(100)
        await channel.submit(1)
        asyncio.get_running_loop().call_later(1, channel.hurry)
        first = await channel.drain(50, within=60)
        at = now()
        await channel.submit(2)
        return first, at, await channel.drain(50, within=60), now()

    assert run(main()) == ([1], 1.0, [2], 61.0)


def test_hurry_on_an_empty_channel_is_for_the_next_item() -> None:
    """Nothing inside is not a batch."""

    async def main() -> tuple[list[int], float]:
        channel: Channel[int] = Channel(100)
        channel.hurry()
        asyncio.get_running_loop().call_later(5, channel.try_submit, 1)
        return await channel.drain(50, within=60), now()

    assert run(main()) == ([1], 5.0)
