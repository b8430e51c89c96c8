"""Slots that are counted somewhere else as well: waited for, never lost, told of. All in virtual time."""

import asyncio
from collections.abc import Callable

import pytest
from limits.asking import PAGE, Served, ask
from virtual_time import run

from stripe_assets.errors import ConfigurationError
from stripe_assets.limits.limiter import Limiter, Limits


class Register:
    """Slots that come when somebody else says so: what a server in another place looks like from here."""

    def __init__(self) -> None:
        self.there = 0
        self.taken: list[int] = []
        self.told: list[Callable[[], None]] = []
        self.breaks: Exception | None = None

    def guard(self, name: str, limit: float, on_change: Callable[[], None]) -> "Register":  # noqa: ARG002  # one for all
        self.told.append(on_change)
        return self

    def ready_at(self, now: float) -> float:
        if self.breaks is not None:
            raise self.breaks
        return now if self.there else float("inf")

    def take(self, now: float) -> int | None:  # noqa: ARG002
        if not self.there:
            return None
        self.there -= 1
        self.taken.append(len(self.taken))
        return self.taken[-1]

    def used(self, slot: int, now: float) -> None:
        pass

    def give_back(self, slot: int) -> None:  # noqa: ARG002
        self.there += 1

    def close(self) -> None:
        pass


def test_slots_that_come_from_elsewhere_are_waited_for() -> None:
    """Several machines share one allowance: its slots arrive when the server answers, not when a timer says so."""

    async def main() -> Served:
        limiter, served, register = Limiter(Limits(account=1000.0, endpoint=None)), Served(), Register()
        limiter.share(register)
        asking = [asyncio.create_task(ask(limiter, served, name)) for name in ("first", "second", "third")]
        for slots in (1, 2):
            await asyncio.sleep(5.0)
            register.there += slots
            for tell in register.told:
                tell()
        await asyncio.gather(*asking)
        return served

    served = run(main())
    assert [name for _, name in served] == ["first", "second", "third"]
    assert [round(at) for at, _ in served] == [5, 10, 10]


def test_slots_of_an_endpoint_that_come_from_elsewhere_are_waited_for() -> None:
    """The account's slots may be there long before the endpoint's: those who wait for it must hear of them."""

    async def main() -> Served:
        register = Register()
        limiter, served = Limiter(Limits(account=None, endpoint=1000.0), sharing=register), Served()
        asking = asyncio.create_task(ask(limiter, served, "first"))
        await asyncio.sleep(5.0)
        register.there += 1
        for tell in register.told:
            tell()
        await asyncio.wait_for(asking, 60.0)
        return served

    assert run(main()) == [(5.0, "first")]


def test_all_who_wait_are_told_when_no_more_slots_can_come() -> None:
    """A server that is gone for good, told to the log alone, would be a sync that stands still for ever."""

    async def main() -> None:
        register = Register()
        limiter, served = Limiter(Limits(account=1000.0, endpoint=None), sharing=register), Served()
        register.there = 1
        async with limiter.slot("under way", priority=PAGE):
            waiting = [asyncio.create_task(ask(limiter, served, "waiting", endpoint)) for endpoint in ("charges", "charges", "refunds")]
            await asyncio.sleep(5.0)
            register.breaks = ConfigurationError("the server is gone")
            for tell in register.told:
                tell()
            found = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 60.0)
            assert [repr(error) for error in found] == ["ConfigurationError('the server is gone')"] * 3
        assert (limiter.waiting(), limiter.snapshot().in_flight) == (0, 0)

    run(main())


def test_who_comes_to_wait_in_vain_leaves_nothing_behind() -> None:
    """A disk that was full for a moment: a waiter that stayed behind would get a slot later, and keep it for ever."""

    async def main() -> None:
        register = Register()
        limiter, served = Limiter(Limits(account=1000.0, endpoint=None, in_flight=1), sharing=register), Served()
        register.there, register.breaks = 2, ConfigurationError("the disk is full")
        with pytest.raises(ConfigurationError, match="the disk is full"):
            await ask(limiter, served, "in vain")
        register.breaks = None
        await asyncio.wait_for(ask(limiter, served, "later"), 60.0)
        assert (served, limiter.waiting(), limiter.snapshot().in_flight) == ([(0.0, "later")], 0, 0)

    run(main())


def test_what_went_out_before_others_count_is_told_them() -> None:
    """Whose account it is, is known only after the first request: it must not be free."""

    async def main() -> list[int]:
        limiter, served, register = Limiter(Limits(account=100.0, endpoint=None)), Served(), Register()
        await ask(limiter, served, "account")
        await ask(limiter, served, "events")
        register.there = 5
        limiter.share(register)
        return register.taken

    assert run(main()) == [0, 1]
