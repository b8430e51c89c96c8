"""What closing the channel and cancelling who waits there leave behind. All in virtual time."""

import asyncio
from typing import Any

import pytest
from queues.channels import now, settle, weighed
from virtual_time import run

from stripe_assets.queues.channel import Channel, ChannelClosed


def test_closing_ends_producers_and_lets_the_rest_be_drained() -> None:
    """What was taken in is kept; who was still waiting hears that it was not."""

    async def main() -> tuple[list[Any], list[list[int]], str]:
        channel: Channel[int] = Channel(2)
        producers = [asyncio.create_task(channel.submit(item)) for item in range(5)]
        await settle()
        channel.close()
        ends = await asyncio.gather(*producers, return_exceptions=True)
        with pytest.raises(ChannelClosed):
            channel.try_submit(9)
        with pytest.raises(ChannelClosed):
            await channel.submit(9)
        return ends, [await channel.drain(1, within=60) for _ in range(4)], repr(channel)

    ends, batches, text = run(main())
    assert [type(end) for end in ends] == [type(None)] * 2 + [ChannelClosed] * 3
    assert batches == [[0], [1], [], []]
    assert text == "<Channel closed, 0 items, 0 of 2, 0 at the door, 0 in line>"


def test_closing_lets_nobody_in_who_would_fit_once_another_has_left() -> None:
    """Closed is closed: what came in afterwards would be stored without its producer knowing."""

    async def main() -> tuple[list[Any], list[int]]:
        channel = weighed(10)
        await channel.submit(6)
        producers = [asyncio.create_task(channel.submit(weight)) for weight in (5, 4)]
        await settle()
        channel.close()
        return await asyncio.gather(*producers, return_exceptions=True), await channel.drain(10, within=0)

    ends, out = run(main())
    assert [type(end) for end in ends] == [ChannelClosed, ChannelClosed]
    assert out == [6]


def test_who_is_cancelled_after_the_consumer_took_the_item_has_delivered_it() -> None:
    """It cannot be taken back from there: it comes out once, and what came later is untouched."""

    async def main() -> tuple[bool, list[int], str]:
        channel: Channel[int] = Channel(1)
        await channel.submit(0)
        producer = asyncio.create_task(channel.submit(1))
        await settle()
        out = [*await channel.drain(1, within=0), *await channel.drain(1, within=0)]
        producer.cancel()
        assert channel.try_submit(2)
        await settle()
        return producer.cancelled(), out + await channel.drain(5, within=0), repr(channel)

    assert run(main()) == (True, [0, 1, 2], "<Channel open, 0 items, 0 of 1, 0 at the door, 0 in line>")


def test_closed_channel_takes_nothing_more_in_the_same_moment() -> None:
    """There is room, and items went straight in just now."""

    async def main() -> list[int]:
        channel: Channel[int] = Channel(10)
        await channel.submit(1)
        channel.close()
        with pytest.raises(ChannelClosed):
            await channel.submit(2)
        return await channel.drain(within=60)

    assert run(main()) == [1]


def test_closing_in_the_moment_of_a_cancellation_disturbs_nobody() -> None:
    """The cancelled one is still at the door, and cannot be told any more."""

    async def main() -> list[Any]:
        channel: Channel[int] = Channel(1)
        await channel.submit(0)
        producers = [asyncio.create_task(channel.submit(item)) for item in (1, 2)]
        await settle()
        producers[0].cancel()
        channel.close()
        return await asyncio.gather(*producers, return_exceptions=True)

    assert [type(end) for end in run(main())] == [asyncio.CancelledError, ChannelClosed]


def test_closing_in_the_moment_of_a_call_is_one_or_the_other() -> None:
    """A producer that was just let in may not both be told off and be inside."""

    async def main() -> tuple[Any, list[int]]:
        channel: Channel[int] = Channel(1)
        await channel.submit(1)
        producer = asyncio.create_task(channel.submit(2))
        await settle()
        out = await channel.drain(1, within=0)
        channel.close()
        (end,) = await asyncio.gather(producer, return_exceptions=True)
        while batch := await channel.drain(1, within=0):
            out += batch
        return end, out

    end, out = run(main())
    assert out == ([1, 2] if end is None else [1])


def test_closing_wakes_the_consumer() -> None:
    """A writer that waits for more would otherwise never end."""

    async def main() -> tuple[list[int], float]:
        channel: Channel[int] = Channel(5)
        asyncio.get_running_loop().call_later(4, channel.close)
        return await channel.drain(5, within=1), now()

    assert run(main()) == ([], 4.0)


def test_a_cancelled_drain_takes_nothing() -> None:
    """A consumer may be stopped and started again."""

    async def main() -> list[int]:
        channel: Channel[int] = Channel(5)
        for batch_is_inside in (False, True):
            if batch_is_inside:
                await channel.submit(1)
            drain = asyncio.create_task(channel.drain(5, within=60))
            await asyncio.sleep(1)
            drain.cancel()
            await asyncio.gather(drain, return_exceptions=True)
            assert drain.cancelled()
        drain = asyncio.create_task(channel.drain(2, within=60))
        await settle()
        await channel.submit(2)
        drain.cancel()
        await asyncio.gather(drain, return_exceptions=True)
        await channel.submit(3)
        return await channel.drain(5, within=0)

    assert run(main()) == [1, 2, 3]


def test_a_cancelled_producer_leaves_nothing_inside_and_lets_the_next_in() -> None:
    """It is not known to whom it would belong, and the next one must not wait behind it."""

    async def main() -> tuple[list[bool], list[int]]:
        channel = weighed(10)
        await channel.submit(6)
        gone = asyncio.create_task(channel.submit(5))
        stays = asyncio.create_task(channel.submit(4))
        await settle()
        gone.cancel()
        await settle()
        return [gone.cancelled(), stays.done()], await channel.drain(10, within=0)

    assert run(main()) == ([True, True], [6, 4])


@pytest.mark.parametrize("first", ["room", "cancellation"])
def test_a_producer_cancelled_in_the_moment_of_its_call_passes_the_room_on(first: str) -> None:
    """Room that nobody uses and nobody is told of would stop the channel."""

    async def main() -> tuple[bool, list[int], str]:
        channel: Channel[int] = Channel(1)
        await channel.submit(0)
        gone, stays = asyncio.create_task(channel.submit(1)), asyncio.create_task(channel.submit(2))
        await settle()
        if first == "cancellation":
            gone.cancel()
        out = await channel.drain(1, within=0)
        if first == "room":
            gone.cancel()
        await settle()
        await stays
        out += await channel.drain(1, within=0)
        return gone.cancelled(), out, repr(channel)

    assert run(main()) == (True, [0, 2], "<Channel open, 0 items, 0 of 1, 0 at the door, 0 in line>")


def test_item_that_is_taken_back_takes_its_weight_with_it_and_leaves_the_others_in_order() -> None:
    """It was let in behind others this moment, and others behind it."""

    async def main() -> tuple[float, list[int], str]:
        channel = weighed(20)
        for weight in (11, 9):
            await channel.submit(weight)
        waiting = [asyncio.create_task(channel.submit(weight)) for weight in (5, 4, 2, 8)]
        await settle()
        out = await channel.drain(11, within=0)
        assert repr(channel) == "<Channel open, 4 items, 20 of 20, 1 at the door, 0 in line>"
        waiting[1].cancel()
        await settle()
        weight = channel.weight
        out += await channel.drain(within=0)
        await asyncio.wait(waiting)
        return weight, out + await channel.drain(within=0), repr(channel)

    assert run(main()) == (16.0, [11, 9, 5, 2, 8], "<Channel open, 0 items, 0 of 20, 0 at the door, 0 in line>")
