"""Slots shared through a real Redis and a real PostgreSQL: both keep the register's promises, and processes keep the limit."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import redis
from limits.memory_register import Books
from limits.sending import crowded

from benchmarks import rates
from benchmarks.servers import free_port, postgres_server, redis_server
from stripe_assets.errors import ConfigurationError
from stripe_assets.limits import register_postgres
from stripe_assets.limits.leases import GRACE, TERM
from stripe_assets.limits.register_postgres import PostgresRegister
from stripe_assets.limits.register_redis import RedisRegister
from stripe_assets.limits.registers import Address, Claim, Register, Rival, Standing, Unreachable
from stripe_assets.limits.seats import seating
from stripe_assets.limits.sharing import open_sharing

LASTS = 2.0
"""Seconds for which the claims of these tests last: longer than each of them takes, besides waiting for it."""
LIMIT = 50
OPENERS: dict[str, type[RedisRegister] | type[PostgresRegister]] = {"redis": RedisRegister, "postgresql": PostgresRegister}


@pytest.fixture(scope="module")
def redis_address() -> Iterator[str]:
    with redis_server(password="geheim") as address:
        yield address


@pytest.fixture(scope="module")
def postgres_address() -> Iterator[str]:
    with postgres_server() as address:
        yield address


@pytest.fixture(scope="module", params=["redis", "postgresql"])
def address(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue("redis_address" if request.param == "redis" else "postgres_address"))


@pytest.fixture
def opened(address: str, request: pytest.FixtureRequest) -> Callable[[], Register]:
    """Give what opens a register of an account of this test's own, which the server knows already."""

    def open_register(account: str = request.node.name) -> Register:
        return OPENERS[address.partition(":")[0]](Address(address, "the server", ("geheim",)), account=account)

    with closing(open_register()) as register:
        register.claim("first", 0, [claim(0)])
    wait(LASTS + 0.1)
    return open_register


def claim(hold: int, *, bucket: str = "account", want: int = 25, most: int = 25, lasts: float = LASTS) -> Claim:
    return Claim(bucket, hold, want, most, lasts)


def wait(seconds: float) -> None:
    """Let real time pass: servers have no clock of ours."""
    threading.Event().wait(seconds)


def test_register_answers_as_the_one_in_memory(opened: Callable[[], Register]) -> None:
    """Everything that virtual time has shown about leases holds for the servers if they do the same."""
    chance = random.Random(7)
    books = Books(time.monotonic)
    with closing(opened()) as register:
        for number in range(150):
            owner, bucket = chance.choice("abcd"), chance.choice(["account", "GET /v1/charges"])
            sent = claim(chance.randrange(30), bucket=bucket, want=chance.randrange(30), most=chance.choice([10, 25]))
            late = number - chance.choice([0, 0, 0, 40])
            (answer,) = register.claim(owner, late, [sent])
            expected = books.claim(owner, late, sent)
            assert answer.held == expected.held
            if late == number:
                assert set(answer.rivals) == set(expected.rivals)


def test_buckets_that_are_claimed_at_once_are_answered_in_order(opened: Callable[[], Register]) -> None:
    with closing(opened()) as register:
        claims = [claim(number, bucket=f"GET /v1/{number}") for number in range(20)]
        assert [answer.held for answer in register.claim("a", 1, claims)] == list(range(20))


def test_claim_that_is_not_made_again_ends(opened: Callable[[], Register]) -> None:
    """What a killed process held must come back."""
    with closing(opened()) as register:
        assert register.claim("a", 1, [claim(20, lasts=0.4)])[0].held == 20
        (answer,) = register.claim("b", 1, [claim(25)])
        assert (answer.held, answer.rivals) == (5, (Rival("a", 25, 25),))
        wait(0.5)
        (answer,) = register.claim("b", 2, [claim(25)])
        assert (answer.held, answer.rivals) == (25, ())


def test_all_clocks_are_the_servers(opened: Callable[[], Register]) -> None:
    with closing(opened()) as register:
        times = [register.claim("a", number, [claim(1)])[0].at for number in range(3)]
        assert times == sorted(times)
        assert abs(times[0] - time.time()) < 60


def test_accounts_do_not_share(address: str) -> None:
    registers = [OPENERS[address.partition(":")[0]](Address(address, "the server", ()), account=account) for account in ("one", "two")]
    for register in registers:
        register.claim("a", 0, [claim(0)])
    wait(LASTS + 0.1)
    assert [register.claim(owner, 1, [claim(25)])[0].held for register, owner in zip(registers, "ab", strict=True)] == [25, 25]
    for register in registers:
        register.close()


def test_many_processes_that_claim_at_once_never_get_more_than_there_is(opened: Callable[[], Register]) -> None:
    """Reading what is free and writing down what is taken must be one step."""

    def keep_claiming(owner: str) -> int:
        with closing(opened()) as register:
            return sum(register.claim(owner, number, [claim(number % 9)])[0].held * 0 + 1 for number in range(40)) and (
                register.claim(owner, 99, [claim(7)])[0].held
            )

    with ThreadPoolExecutor(6) as pool:
        held = list(pool.map(keep_claiming, "abcdef"))
    assert 19 <= sum(held) <= 25


def test_redis_that_lost_everything_grants_nothing_until_old_leases_have_ended(redis_address: str) -> None:
    """A restart without persistence forgets who holds seats; they still use them."""
    with closing(RedisRegister(Address(redis_address, "the server", ()), account="acct_lost")) as register:
        register.claim("a", 0, [claim(0)])
        wait(LASTS + 0.1)
        assert register.claim("a", 1, [claim(25)])[0].held == 25
        with closing(redis.Redis.from_url(redis_address)) as server:
            server.flushall()
        assert register.claim("b", 1, [claim(25)])[0].held == 0
        assert register.claim("a", 2, [claim(25)])[0].held == 0
        wait(LASTS + 0.1)
        assert register.claim("b", 2, [claim(25)])[0].held == 25


def test_lost_connection_is_said_and_the_next_claim_makes_another(redis_address: str, postgres_address: str) -> None:
    """Firewalls drop idle connections; servers are restarted."""
    with closing(PostgresRegister(Address(postgres_address, "the server", ()), account="acct_cut")) as register:
        with psycopg.connect(postgres_address, autocommit=True) as other:
            other.execute("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and usename = 'stripe'")
        with pytest.raises(Unreachable):
            register.claim("a", 0, [claim(1)])
        assert isinstance(register.claim("a", 1, [claim(1)])[0], Standing)
    with closing(RedisRegister(Address(redis_address, "the server", ()), account="acct_cut")) as register:
        register.claim("a", 0, [claim(1)])
        with closing(redis.Redis.from_url(redis_address)) as other_client:
            other_client.client_kill_filter(_type="normal", skipme=True)
        assert isinstance(register.claim("a", 1, [claim(1)])[0], Standing)  # it is asked once more at once


def test_postgresql_that_hangs_is_given_up_and_asked_again(postgres_address: str) -> None:
    """A stopped container, a disk that stands still: without an error nobody would learn why the sync does, nor could end it."""
    with closing(PostgresRegister(Address(postgres_address, "the server", ()), account="acct_hangs")) as register:
        register.claim("a", 0, [claim(0)])
        with psycopg.connect(postgres_address, autocommit=True) as other:
            found = other.execute("select pid from pg_stat_activity where pid <> pg_backend_pid() and usename = 'stripe'").fetchall()
        for (backend,) in found:
            os.kill(backend, signal.SIGSTOP)
        try:
            with pytest.raises(Unreachable, match="no answer within"):
                register.claim("a", 1, [claim(1)])
        finally:
            for (backend,) in found:
                os.kill(backend, signal.SIGCONT)
        assert isinstance(register.claim("a", 2, [claim(1)])[0], Standing)


def test_postgresql_whose_lock_somebody_holds_for_ever_is_refused_with_advice(postgres_address: str, tmp_path: Path) -> None:
    """A process that was stopped while it began would keep all others from beginning, with nothing said."""
    with psycopg.connect(postgres_address) as stopped:
        stopped.execute(register_postgres.LOCK, {"account": ""})
        with pytest.raises(ConfigurationError, match=r"cannot share the slots .no answer within"):
            open_sharing(postgres_address, account="acct_1", folder=tmp_path)


@pytest.mark.parametrize("scheme", ["redis", "postgresql"])
def test_server_that_is_not_there_is_named_with_advice_and_without_the_password(scheme: str, tmp_path: Path) -> None:
    port = free_port()
    with pytest.raises(ConfigurationError, match=f"{scheme}://127.0.0.1:{port}/0 cannot share the slots .* start it") as caught:
        open_sharing(f"{scheme}://me:geheim@127.0.0.1:{port}/0", account="acct_1", folder=tmp_path)
    assert "geheim" not in str(caught.value)


def test_wrong_password_is_said_at_once_and_not_shown(redis_address: str, tmp_path: Path) -> None:
    """Waiting half a minute for a password to become right helps nobody."""
    with pytest.raises(ConfigurationError, match=r"cannot share the slots") as caught:
        open_sharing(redis_address.replace("geheim", "falsch"), account="acct_1", folder=tmp_path)
    assert "falsch" not in str(caught.value)


def test_four_processes_together_use_the_limit_and_never_exceed_it(address: str) -> None:
    """P2: two levels of limits, four processes, and what a receiver sees. How much is used is the benchmark's to say."""
    measured = rates.measure(address, limit=LIMIT, processes=4, seconds=4.0)
    assert measured.fullest_second <= LIMIT
    assert measured.share > 0.6
    assert min(measured.by_process) > 0


def test_killed_process_does_not_stop_the_others(address: str, tmp_path: Path) -> None:
    """Its seats are the others' after three seconds, and no second is too full meanwhile."""
    arrivals: list[tuple[float, int]] = []
    with (
        rates.receiver() as socket_,
        rates.senders(address, str(tmp_path), limit=LIMIT, processes=4, port=socket_.getsockname()[1]) as senders,
    ):
        while {number for _, number in arrivals} != {0, 1, 2, 3}:
            arrivals.append(rates.receive(socket_))
        senders[0].send_signal(signal.SIGKILL)
        killed_at = arrivals[-1][0]
        freed_at = killed_at + TERM + GRACE + seating(LIMIT).rest
        while arrivals[-1][0] < freed_at + 4:
            arrivals.append(rates.receive(socket_))
    assert crowded([at for at, _ in arrivals], LIMIT) == []
    assert sum(at > freed_at + 1 for at, _ in arrivals) > 0.6 * 3 * LIMIT


def test_slots_cost_far_fewer_round_trips_than_requests(redis_address: str, postgres_address: str) -> None:
    """A question for each request would be what limits the sync."""
    with closing(redis.Redis.from_url(redis_address)) as server:
        before = server.info("commandstats")["cmdstat_evalsha"]["calls"]
        sent = sum(rates.measure(redis_address, limit=100, processes=1, seconds=4.0).by_process)
        assert server.info("commandstats")["cmdstat_evalsha"]["calls"] - before < 0.5 * sent
    with psycopg.connect(postgres_address, autocommit=True) as database:
        query = "select xact_commit from pg_stat_database where datname = 'postgres'"
        began = database.execute(query).fetchone()
        sent = sum(rates.measure(postgres_address, limit=100, processes=1, seconds=4.0).by_process)
        ended = database.execute(query).fetchone()
        assert began is not None and ended is not None
        assert ended[0] - began[0] < 0.5 * sent


def test_clients_are_imported_only_when_they_are_used() -> None:
    """Each is an extra: without it everything else must work."""
    script = "import sys, stripe_assets.limits.sharing; print({'redis', 'psycopg'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "set()\n"
