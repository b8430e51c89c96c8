"""Who leaves the channel first: the better before the worse, but nobody waits for ever. All in virtual time."""

import asyncio

import pytest
from virtual_time import run

from stripe_assets.queues.channel import PATIENCE, Channel

BEST, MIDDLE, WORST = 0, 1, 2


def submit(channel: Channel[str], items: str) -> None:
    for item in items:
        assert channel.try_submit(item)


async def fill(channel: Channel[str], *items: tuple[str, int]) -> None:
    for item, priority in items:
        await channel.submit(item, priority)


def test_better_ones_leave_first_and_in_order_among_themselves() -> None:
    """A page that names a thousand other requests is worth more than the thousandth of them."""

    async def main() -> list[list[str]]:
        channel: Channel[str] = Channel(100)
        await fill(channel, ("w1", WORST), ("b1", BEST), ("m1", MIDDLE), ("w2", WORST), ("b2", BEST), ("m2", MIDDLE))
        return [await channel.drain(items=4, within=0), await channel.drain(items=4, within=0)]

    assert run(main()) == [["b1", "b2", "m1", "m2"], ["w1", "w2"]]


def test_priority_is_the_same_for_all_unless_said() -> None:
    """Who says nothing about it stands in the middle of those who do: better than 1, worse than -1."""

    async def main() -> list[str]:
        channel: Channel[str] = Channel(100)
        await channel.submit("late", 1)
        await channel.submit("plain")
        assert channel.try_submit("tried")
        await channel.submit("early", -1)
        return await channel.drain(within=0)

    assert run(main()) == ["early", "plain", "tried", "late"]


def test_light_item_does_not_overtake_a_better_one_that_is_too_heavy_for_the_batch() -> None:
    """Else the heavy one would wait as long as there are light ones."""

    async def main() -> list[list[int]]:
        channel: Channel[int] = Channel(100, weigh=float)
        await channel.submit(1, WORST)
        await channel.submit(5, MIDDLE)
        await channel.submit(6, MIDDLE)
        return [await channel.drain(10, within=0) for _ in range(2)]

    assert run(main()) == [[5], [6, 1]]


def test_full_batch_begins_with_the_oldest_once_that_has_waited_long_enough() -> None:
    """However many better ones come, and they come all the time: what is read must be stored some day."""

    async def main() -> list[list[str]]:
        channel: Channel[str] = Channel(100)
        await fill(channel, ("w1", WORST), ("w2", WORST), ("m1", MIDDLE))
        batches = []
        for number in range(4):
            await fill(channel, (f"b{number}", BEST), (f"B{number}", BEST))
            batches.append(await channel.drain(items=2, within=2))
            await asyncio.sleep(1)
        return batches

    assert run(main()) == [["b0", "B0"], ["b1", "B1"], ["w1", "b2"], ["w2", "B2"]]


def test_oldest_may_be_one_of_the_middle() -> None:
    """Who has waited longest is found in any lane, not only in the worst."""

    async def main() -> list[str]:
        channel: Channel[str] = Channel(100)
        for at, (item, priority) in enumerate([("m", MIDDLE), ("w", WORST), ("b1", BEST), ("b2", BEST)]):
            await asyncio.sleep(at)
            await fill(channel, (item, priority))
        return await channel.drain(items=2, within=3)

    assert run(main()) == ["m", "b1"]


def test_weight_of_the_oldest_is_counted_in() -> None:
    """A batch that it begins is no heavier than another."""

    async def main() -> list[list[int]]:
        channel: Channel[int] = Channel(100, weigh=float)
        await channel.submit(6, WORST)
        await asyncio.sleep(2)
        for weight in (5, 4, 3):
            await channel.submit(weight, BEST)
        return [await channel.drain(10, within=2), await channel.drain(10, within=2)]

    assert run(main()) == [[6], [5, 4]]


def test_oldest_goes_first_after_a_while_also_where_nobody_wants_to_wait() -> None:
    """`within=0` says what the consumer can wait, not what an item has to."""

    async def main() -> list[list[str]]:
        channel: Channel[str] = Channel(100)
        await fill(channel, ("w", WORST), ("b1", BEST), ("b2", BEST))
        first = await channel.drain(items=1, within=0)
        await asyncio.sleep(PATIENCE)
        await fill(channel, ("b3", BEST))
        return [first, await channel.drain(items=1, within=0), await channel.drain(items=9, within=0)]

    assert run(main()) == [["b1"], ["w"], ["b2", "b3"]]


def test_every_item_leaves_though_better_ones_never_end() -> None:
    """The bound: one of those who have waited long enough leaves with each batch, so the last of ten in a line leaves with the tenth."""

    async def main() -> list[int]:
        channel: Channel[int] = Channel(30)
        for number in range(10):
            await channel.submit(number, WORST)
        seen: list[int] = []
        for _ in range(2 + 10):
            await asyncio.sleep(1)
            while channel.try_submit(-1, BEST):
                pass
            seen += [number for number in await channel.drain(items=5, within=2) if number >= 0]
        return seen

    assert run(main()) == list(range(10))


def test_age_counts_for_each_item_though_those_of_one_moment_share_its_time() -> None:
    """The time is not asked for each item; a batch is not given late, nor early, for that."""

    async def main() -> list[tuple[float, list[str]]]:
        channel: Channel[str] = Channel(100)
        loop = asyncio.get_running_loop()
        for at, names in ((1.0, "abc"), (1.5, "de"), (4.0, "f"), (4.25, "gh")):
            loop.call_later(at, submit, channel, names)
        batches = []
        for _ in range(3):
            batch = await channel.drain(items=4, within=2)
            batches.append((loop.time(), batch))
        return batches

    batches = run(main())
    assert [batch for _, batch in batches] == [["a", "b", "c", "d"], ["e"], ["f", "g", "h"]]
    assert [at for at, _ in batches] == pytest.approx([1.5, 3.5, 6.0], abs=0.002)


def test_item_has_the_time_of_its_own_moment_and_not_of_an_earlier_one() -> None:
    """Whatever has come and gone in that one."""

    async def main() -> float:
        channel: Channel[str] = Channel(100)
        await fill(channel, ("a", MIDDLE))
        assert await channel.drain(within=0) == ["a"]
        await asyncio.sleep(0.5)
        await fill(channel, ("b", MIDDLE))
        assert await channel.drain(within=1) == ["b"]
        return asyncio.get_running_loop().time()

    assert run(main()) == pytest.approx(1.5, abs=0.002)


def test_door_is_first_come_first_served_whatever_the_priority() -> None:
    """Who waits outside has nobody to count its age: better ones that keep coming would keep it there."""

    async def main() -> list[list[str]]:
        channel: Channel[str] = Channel(1)
        await channel.submit("inside")
        waiting = [asyncio.create_task(channel.submit(item, priority)) for item, priority in (("w", WORST), ("b", BEST))]
        await asyncio.sleep(0.1)
        batches = [await channel.drain(items=1, within=0) for _ in range(3)]
        await asyncio.gather(*waiting)
        return batches

    assert run(main()) == [["inside"], ["w"], ["b"]]


def test_cancelled_producer_takes_its_own_item_back_though_an_equal_one_is_there() -> None:
    """Equal is not the same: the other one was told that its item is inside."""

    async def main() -> list[str]:
        channel: Channel[str] = Channel(2)
        await fill(channel, ("same", MIDDLE), ("same", MIDDLE))
        gone, stays = (asyncio.create_task(channel.submit("same", priority)) for priority in (MIDDLE, WORST))
        await asyncio.sleep(0.1)
        out = await channel.drain(items=2, within=0)
        out += await channel.drain(items=1, within=0)  # the one of `gone`, in the moment of its cancellation
        gone.cancel()
        await asyncio.wait([gone, stays])
        assert gone.cancelled()
        return out + await channel.drain(items=2, within=0)

    assert run(main()) == ["same"] * 4
