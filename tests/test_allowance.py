"""What is said of the limiter, in words: on the terminal, in logs and on the page, so that all of them say the same."""

import asyncio
import re
from pathlib import Path

from mirroring import FEW, NOW, World
from virtual_time import run

from stripe_assets import allowance
from stripe_assets.limits.limiter import Limiter, Limits
from stripe_assets.limits.priority import Priority
from stripe_assets.limits.tally import Snapshot, Tally
from stripe_assets.simulator.account import Account
from stripe_assets.sync.summary import Summary

THROTTLED = {"endpoint-rate": 3, "global-rate": 1200}
LEARNED = {"GET /v1/charges": 12.04, "account": 71.26}


def summary(at: Snapshot, *, requests: int = 1204, seconds: float = 12.3) -> Summary:
    return Summary("run", "acct_1", (), requests, 9, seconds, at, Tally())


def test_line_of_a_run_tells_its_pace_and_what_held_it_up() -> None:
    at = Snapshot(
        limit=100.0,
        throttled=THROTTLED,
        wait_p50=0.0204,
        wait_p99=1.42,
        learned_rates=LEARNED,
        learned_in_flight={"account": 9},
        lowest_rates={"account": 43.21},
        lowest_in_flight={"GET /v1/events": 4},
    )
    assert allowance.line(summary(at)) == (
        "1,204 requests in 12.3 s, 97.9/s of 100 allowed; waits 20 ms (p50), 1.4 s (p99); 429s: 1,200 global-rate, 3 endpoint-rate; "
        "learned: account 71.3/s, GET /v1/charges 12/s, account 9 at once; "
        "at lowest: account 43.2/s, GET /v1/events 4 at once"
    )


def test_line_of_a_run_without_limit_and_without_429s_is_short() -> None:
    assert allowance.line(summary(Snapshot(), requests=7, seconds=0.0)) == (
        "7 requests in 0.0 s, 0/s with no limit; waits 0 ms (p50), 0 ms (p99); no 429s"
    )


def test_what_was_learned_names_the_account_first_and_may_be_cut() -> None:
    """Twenty endpoints' worth of it would push everything else off the display."""
    at = Snapshot(learned_rates=LEARNED, learned_in_flight={"GET /v1/events": 4})
    assert allowance.learned(at, most=1) == "account 71.3/s and 2 more"
    assert allowance.learned(at, most=3) == allowance.learned(at) == "account 71.3/s, GET /v1/charges 12/s, GET /v1/events 4 at once"
    assert allowance.learned(Snapshot(), most=1) == ""


def test_sums_by_endpoint_are_those_of_all_steps() -> None:
    async def main() -> Limiter:
        limiter = Limiter(Limits(10.0, None))
        for number in range(30):
            async with limiter.slot("GET /v1/charges" if number % 3 else "GET /v1/events", priority=Priority.PAGE) as slot:
                if number == 6:
                    slot.throttled("endpoint-rate")
            await asyncio.sleep(0.2)
        return limiter

    assert allowance.by_endpoint(run(main()).tally) == {"GET /v1/charges": (20, 0), "GET /v1/events": (10, 1)}


def test_running_mirror_says_what_waits_what_is_under_way_and_how_full_the_queue_is(tmp_path: Path) -> None:
    """Whoever watches wants to know whether it is Stripe, another program or the database that is waited for."""
    world = World(tmp_path / "stripe.duckdb", Account(seed=1, customers=80, now=NOW), {"account_limit": 20, "latency": 0.1})
    said: list[str] = []

    async def watch() -> None:
        for _ in range(8):
            assert world.mirror is not None
            said.append(allowance.at_work(world.mirror))
            await asyncio.sleep(0.5)

    world.sync(FEW, meanwhile=watch)
    assert said[0] == "", "nothing is open yet"
    waiting = r"[\d,]+ waiting, [\d.]+ m?s \(p50\), [\d.]+ m?s \(p99\)"
    at_work = rf"{waiting} · \d+ of \d+ in flight · queue \d+\.\d MB \(\d+%\)"
    taught = r" · 429s: [\d,]+ global-rate · learned: account [\d.]+/s"
    assert [line for line in said[2:] if not re.fullmatch(f"{at_work}({taught})?", line)] == []
    assert re.fullmatch(at_work + taught, said[4])
