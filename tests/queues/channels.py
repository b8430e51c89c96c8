"""Makes channels of weighed items, and lets everybody run who can."""

import asyncio

from stripe_assets.queues.channel import Channel


def weighed(capacity: float) -> Channel[int]:
    """Make a channel of numbers that weigh what they are."""
    return Channel(capacity, weigh=float)


def now() -> float:
    return asyncio.get_running_loop().time()


async def settle() -> None:
    """Let everybody run who can."""
    await asyncio.sleep(0.001)
