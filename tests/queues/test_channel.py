"""The channel between network and database: order, bounds, batches, and what a cancellation leaves. All in virtual time."""

import asyncio
from typing import Any

import pytest
from virtual_time import run

from stripe_assets.queues.channel import Channel, ChannelClosed


def weighed(capacity: float) -> Channel[int]:
    """Make a channel of numbers that weigh what they are."""
    return Channel(capacity, weigh=float)


def now() -> float:
    return asyncio.get_running_loop().time()


async def settle() -> None:
    """Let everybody run who can."""
    await asyncio.sleep(0.001)


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
