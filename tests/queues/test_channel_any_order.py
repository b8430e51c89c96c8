"""Random producers, weights, timeouts, cancellations and batches: nothing lost, nothing twice, never too full."""

import asyncio
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_time import run

from stripe_assets.queues.channel import Channel, ChannelClosed

Item = tuple[int, int, float]  # producer, number, weight


@dataclass(frozen=True)
class Step:
    """One item of a producer. Times are tenths of a second, so that many things fall into one moment."""

    pause: int
    weight: int
    timeout: int | None
    cancelled_after: int | None
    tries: bool


steps = st.builds(
    Step,
    pause=st.integers(0, 4),
    weight=st.integers(1, 14),
    timeout=st.one_of(st.none(), st.none(), st.integers(0, 6)),
    cancelled_after=st.one_of(st.none(), st.none(), st.integers(0, 6)),
    tries=st.booleans(),
)


@dataclass(frozen=True)
class Drain:
    """One batch of the consumer."""

    pause: int
    weight: int
    within: int
    cancelled_after: int | None
    hurried: bool


drains = st.builds(
    Drain,
    pause=st.integers(0, 3),
    weight=st.integers(1, 15),
    within=st.integers(0, 5),
    cancelled_after=st.one_of(st.none(), st.none(), st.integers(0, 4)),
    hurried=st.booleans(),
)


class Scene:
    """Producers and a consumer at one channel, and what each of them was told."""

    def __init__(self) -> None:
        self.channel: Channel[Item] = Channel(10, weigh=lambda item: item[2])
        self.taken: list[Item] = []
        self.refused: list[Item] = []
        self.cancelled: dict[Item, float] = {}
        self.came_out: dict[Item, float] = {}

    def check_bounds(self) -> None:
        """Never above the capacity, but for a single heavy item."""
        assert self.channel.weight <= 10 or len(self.channel) == 1, self.channel

    async def produce(self, number: int, plan: list[Step]) -> None:
        """Submit one item after the other."""
        loop = asyncio.get_running_loop()
        for turn, step in enumerate(plan):
            item = (number, turn, float(step.weight))
            await asyncio.sleep(step.pause / 10)
            if step.tries:
                (self.taken if self.channel.try_submit(item) else self.refused).append(item)
                self.check_bounds()
                continue
            timeout = None if step.timeout is None else step.timeout / 10
            submitting = asyncio.create_task(self.channel.submit(item, timeout=timeout))
            if step.cancelled_after is not None:
                loop.call_later(step.cancelled_after / 10, submitting.cancel)
            await asyncio.wait([submitting])
            self.check_bounds()
            if submitting.cancelled():
                self.cancelled[item] = loop.time()
            elif isinstance(submitting.exception(), TimeoutError):
                self.refused.append(item)
            else:
                submitting.result()
                self.taken.append(item)

    async def consume(self, plan: list[Drain]) -> None:
        """Take batches as planned, over and over, until the channel is closed and empty."""
        loop = asyncio.get_running_loop()
        turn = 0
        while True:
            each = plan[turn % len(plan)]
            turn += 1
            await asyncio.sleep(each.pause / 10)
            if each.hurried:
                self.channel.hurry()
            draining = asyncio.create_task(self.channel.drain(each.weight, within=each.within / 10))
            if each.cancelled_after is not None and turn <= len(plan):
                loop.call_later(each.cancelled_after / 10, draining.cancel)
            await asyncio.wait([draining])
            self.check_bounds()
            if draining.cancelled():
                continue
            if not (batch := draining.result()):
                return
            assert len(batch) == 1 or sum(item[2] for item in batch) <= each.weight
            assert not self.came_out.keys() & batch
            assert len(batch) == len(set(batch))
            self.came_out |= dict.fromkeys(batch, loop.time())


@given(
    producers=st.lists(st.lists(steps, max_size=8), min_size=1, max_size=5),
    consumer=st.lists(drains, min_size=1, max_size=6),
)
@settings(max_examples=250, deadline=None)
def test_nothing_is_lost_nothing_comes_twice_and_it_is_never_too_full(producers: list[list[Step]], consumer: list[Drain]) -> None:
    """P3 and P6 rest on this. Each producer's items keep their order; what was refused never comes out.

    Nor does what was cancelled, unless it was taken in the very moment of its cancellation.
    """

    async def main() -> Scene:
        scene = Scene()
        consuming = asyncio.create_task(scene.consume(consumer))
        await asyncio.wait_for(asyncio.gather(*(scene.produce(number, plan) for number, plan in enumerate(producers))), 1000)
        scene.channel.close()
        await asyncio.wait_for(consuming, 1000)
        return scene

    scene = run(main())
    just_taken = [item for item, at in scene.cancelled.items() if scene.came_out.get(item) == at]
    assert sorted(scene.came_out) == sorted(scene.taken + just_taken)
    for number in range(len(producers)):
        mine = [item for item in scene.came_out if item[0] == number]
        assert mine == sorted(mine)
    assert repr(scene.channel) == "<Channel closed, 0 items, 0 of 10, 0 waiting>"


@given(
    weights=st.lists(st.integers(1, 14), max_size=20),
    gone=st.sets(st.integers(0, 19)),
    batch=st.integers(1, 15),
    closes_after=st.one_of(st.none(), st.integers(0, 10)),
)
@settings(max_examples=200, deadline=None)
def test_who_waits_is_let_in_by_the_order_of_arrival(weights: list[int], gone: set[int], batch: int, closes_after: int | None) -> None:
    """Whatever they weigh, and whoever among them goes away."""

    async def main() -> tuple[list[int], list[str]]:
        channel: Channel[int] = Channel(10, weigh=lambda number: weights[number])
        said = [""] * len(weights)

        async def produce(number: int) -> None:
            try:
                await channel.submit(number)
                said[number] = "taken"
            except ChannelClosed:
                said[number] = "closed"
            except asyncio.CancelledError:
                said[number] = "gone"

        tasks = [asyncio.create_task(produce(number)) for number in range(len(weights))]
        await asyncio.sleep(0.1)
        for number in gone & set(range(len(weights))):
            tasks[number].cancel()
        out: list[int] = []
        turn = 0
        while len(channel):
            if turn == closes_after:
                channel.close()
            out += await channel.drain(batch, within=0)
            turn += 1
            await asyncio.sleep(0.1)
        await asyncio.gather(*tasks)
        return out, said

    out, said = run(main())
    assert out == [number for number in range(len(weights)) if said[number] == "taken"]
    assert closes_after is not None or "closed" not in said
