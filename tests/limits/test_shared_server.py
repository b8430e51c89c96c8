"""Several processes that lease from one register, in virtual time: the whole limit, never more, and what a silent server does."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest
from limits.memory_register import Books, MemoryRegister
from limits.sending import Process, crowded
from virtual_time import run

from stripe_assets.errors import ConfigurationError
from stripe_assets.limits.leases import GRACE, TERM
from stripe_assets.limits.registers import Unreachable
from stripe_assets.limits.seats import seating
from stripe_assets.limits.shared_server import PATIENCE, SharedServer

SETTLED = 5.0
"""Seconds after which the seats are divided."""
FREED = TERM + GRACE + seating(25.0).rest
"""Seconds until others have what a killed process held."""


class Account:
    """An account with its register and the processes that use it; what they send is seen here."""

    def __init__(self) -> None:
        self.books = Books(asyncio.get_running_loop().time)
        self.sent: list[float] = []
        self.registers: list[MemoryRegister] = []
        self.servers: list[SharedServer] = []

    def process(self, limits: dict[str, float], *, every: float = 0.0) -> Process:
        self.registers.append(MemoryRegister(self.books))
        self.servers.append(SharedServer(self.registers[-1]))
        return Process(self.servers[-1], self.sent, limits, every=every)

    def kill(self, process: Process) -> None:
        """Let it never be heard of again."""
        process.stop()
        self.registers[self.servers.index(process.sharing)].loses_claims = True  # type: ignore[arg-type]  # every process here has a server

    @property
    def asked(self) -> int:
        return sum(register.asked for register in self.registers)

    def count(self, since: float, until: float) -> int:
        return sum(since <= at < until for at in self.sent)

    def close(self) -> None:
        for server in self.servers:
            server.close()


def play(story: Callable[[Account], Awaitable[None]]) -> None:
    """Run a story about an account's processes."""

    async def main() -> None:
        account = Account()
        try:
            await story(account)
        finally:
            account.close()

    run(main())


@pytest.mark.parametrize("processes", [1, 4, 7])
@pytest.mark.parametrize("limit", [25.0, 100.0, 12.5])
def test_processes_together_use_the_limit_and_never_exceed_it(limit: float, processes: int) -> None:
    """P2 on several machines. Each request needs a slot of the account and one of the endpoint, as a sync's do."""

    async def story(account: Account) -> None:
        for _ in range(processes):
            account.process({"account": limit, "GET /v1/charges": limit})
        await asyncio.sleep(SETTLED + 20)
        assert crowded(account.sent, limit) == []
        assert account.count(SETTLED, SETTLED + 20) >= 0.98 * 20 * limit
        assert account.asked < max(0.6 * len(account.sent), 2.2 * processes * (SETTLED + 20))

    play(story)


def test_question_is_asked_for_all_buckets_at_once_and_seldom() -> None:
    """A round trip a request would make every request slower, and the server the bottleneck."""

    async def story(account: Account) -> None:
        account.process({"account": 100.0, **{f"GET /v1/{number}": 100.0 for number in range(10)}})
        await asyncio.sleep(30)
        assert len(account.sent) > 2900
        assert account.asked <= 80

    play(story)


def test_slots_of_several_processes_are_spread_over_the_second() -> None:
    """A whole second's allowance at once would meet Stripe's concurrency limit."""

    async def story(account: Account) -> None:
        processes = [account.process({"account": 40.0}) for _ in range(4)]
        await asyncio.sleep(SETTLED + 20)
        for process in processes:
            gaps = [later - earlier for earlier, later in pairwise(at for at in process.own if at > SETTLED)]
            assert max(gaps) < 0.2

    play(story)


def test_latecomer_gets_its_share_soon_and_what_a_finished_process_had_is_used_again() -> None:
    """A nightly backfill runs while somebody asks for one type."""

    async def story(account: Account) -> None:
        first = account.process({"account": 100.0})
        await asyncio.sleep(10)
        second = account.process({"account": 100.0})
        await asyncio.sleep(10)
        shares = [sum(15 <= at < 20 for at in process.own) for process in (first, second)]
        assert min(shares) >= 245
        second.stop()
        second.sharing.close()
        await asyncio.sleep(6)
        assert sum(23 <= at < 26 for at in first.own) >= 294
        assert crowded(account.sent, 100.0) == []

    play(story)


def test_modest_process_leaves_to_the_others_what_it_does_not_use() -> None:
    """One cursor that reads page after page uses ten slots a second: the other ninety are a backfill's."""

    async def story(account: Account) -> None:
        modest = account.process({"account": 100.0}, every=0.1)
        account.process({"account": 100.0})
        await asyncio.sleep(30)
        assert sum(SETTLED <= at < 30 for at in modest.own) >= 0.9 * 250
        assert account.count(SETTLED, 30) >= 0.95 * 2500
        assert crowded(account.sent, 100.0) == []

    play(story)


def test_killed_process_is_missed_for_three_seconds() -> None:
    """Nobody can tell a dead process from a slow one: its seats are kept until its lease has ended."""

    async def story(account: Account) -> None:
        processes = [account.process({"account": 25.0}) for _ in range(4)]
        await asyncio.sleep(10)
        account.kill(processes[0])
        await asyncio.sleep(20)
        assert crowded(account.sent, 25.0) == []
        assert account.count(10, 10 + FREED) >= 0.7 * 25 * FREED
        assert account.count(10 + FREED + 2, 30) >= 0.98 * 25 * (18 - FREED)

    play(story)


def test_everybody_has_a_turn_at_a_limit_of_one() -> None:
    """Fewer seats than processes: the seat goes round, and is not idle for long."""

    async def story(account: Account) -> None:
        processes = [account.process({"account": 1.0}) for _ in range(3)]
        await asyncio.sleep(120)
        assert crowded(account.sent, 1.0) == []
        assert len(account.sent) >= 80
        assert min(len(process.own) for process in processes) >= 5

    play(story)


def test_each_process_keeps_its_own_limit() -> None:
    """A machine that was told a quarter of the limit takes a quarter, whatever the others take."""

    async def story(account: Account) -> None:
        small, large = account.process({"account": 25.0}), account.process({"account": 100.0})
        await asyncio.sleep(20)
        assert crowded(small.own, 25.0) == []
        assert crowded(account.sent, 100.0) == []
        assert account.count(SETTLED, 20) >= 0.97 * 1500
        assert sum(SETTLED <= at < 20 for at in small.own) >= 0.9 * 375
        assert large.own

    play(story)


@pytest.mark.parametrize("way", ["loses_claims", "loses_answers"])
def test_hiccup_of_a_second_is_not_felt(way: str, caplog: pytest.LogCaptureFixture) -> None:
    """Servers fail over; a lease lasts longer than that."""

    async def story(account: Account) -> None:
        for _ in range(2):
            account.process({"account": 25.0})
        await asyncio.sleep(10)
        for _ in range(3):
            for register in account.registers:
                setattr(register, way, True)
            await asyncio.sleep(1.2)
            for register in account.registers:
                setattr(register, way, False)
            await asyncio.sleep(2.0)
        assert crowded(account.sent, 25.0) == []
        assert account.count(10, 19) >= 0.98 * 225

    with caplog.at_level(logging.INFO, logger="stripe_assets"):
        play(story)
    said = [record.getMessage() for record in caplog.records]
    assert said.count("memory://books answers again") == 6
    assert len(said) == 12


def test_longer_silence_stops_the_slots_and_then_they_go_on() -> None:
    """Without the server nobody knows what others send: sending on would break promise P2."""

    async def story(account: Account) -> None:
        process = account.process({"account": 25.0})
        await asyncio.sleep(10)
        account.registers[0].loses_claims = True
        before = account.asked
        for _ in range(100):
            await asyncio.sleep(0.1)
            process.guards[0].ready_at(asyncio.get_running_loop().time())
        assert account.asked - before < 25
        assert account.count(10 + TERM, 20) == 0
        account.registers[0].loses_claims = False
        await asyncio.sleep(10)
        assert account.count(23, 30) >= 0.98 * 175
        assert crowded(account.sent, 25.0) == []
        assert not process.task.done()

    play(story)


def test_server_that_stays_silent_ends_the_waiting_with_advice_and_without_the_password() -> None:
    """Who waits must be told, not only the log; and the server asked seldom meanwhile."""

    async def story(account: Account) -> None:
        process = account.process({"account": 25.0})
        await asyncio.sleep(10)
        account.registers[0].loses_claims = True
        before = account.asked
        await asyncio.wait([process.task], timeout=2 * PATIENCE)
        with pytest.raises(ConfigurationError, match=r"memory://books has not answered for 3[0-3] seconds") as caught:
            process.task.result()
        assert "start it" in str(caught.value)
        assert "geheim" not in str(caught.value)
        assert account.asked - before < 60
        with pytest.raises(ConfigurationError):
            process.guards[0].take(0.0)

    play(story)


def test_mistake_of_ours_is_raised_where_somebody_waits() -> None:
    """An error in a thread that nobody sees would be a sync that stands still."""

    async def story(account: Account) -> None:
        process = account.process({"account": 25.0})
        account.registers[0].breaks = ZeroDivisionError("a mistake")
        await asyncio.wait([process.task], timeout=5)
        with pytest.raises(ZeroDivisionError, match="a mistake"):
            process.task.result()

    play(story)


def test_closing_gives_the_seats_back_and_the_connection_up() -> None:
    """The next run must not wait for the leases of the one before."""

    async def story(account: Account) -> None:
        account.process({"account": 25.0}).stop()
        await asyncio.sleep(1)
        process = account.process({"account": 25.0})
        await asyncio.sleep(3)
        process.stop()
        account.servers[1].close()
        ended_at = asyncio.get_running_loop().time()
        assert account.registers[1].is_closed
        account.process({"account": 25.0})
        await asyncio.sleep(3)
        assert account.count(ended_at + seating(25.0).rest + GRACE + 0.5, ended_at + 3) >= 25
        assert crowded(account.sent, 25.0) == []

    play(story)


def test_limit_that_changes_keeps_its_guard() -> None:
    """The slots that are out belong to it."""

    async def story(account: Account) -> None:
        process = account.process({"account": 25.0})
        await asyncio.sleep(5)
        assert process.sharing.guard("account", 10.0, process.changed.set) is process.guards[0]
        await asyncio.sleep(5)
        assert crowded([at for at in account.sent if at >= 5.0], 10.0) == []
        process.sharing.guard("account", 50.0, process.changed.set)
        await asyncio.sleep(10)
        assert account.count(12, 20) >= 0.98 * 400

    play(story)


def test_unreachable_is_no_surprise_before_anything_was_leased() -> None:
    """A server that comes up a little later than the sync."""

    async def story(account: Account) -> None:
        account.process({"account": 25.0})
        account.registers[0].breaks = Unreachable("connection refused")
        await asyncio.sleep(5)
        assert account.sent == []
        account.registers[0].breaks = None
        await asyncio.sleep(5)
        assert len(account.sent) > 50

    play(story)
