"""Runs the benchmarks: `python -m benchmarks sync` (README: how fast it is), `python -m benchmarks limits` (slots, rates, queues).

`catch-up` and `soak` are about what comes after the first sync: one night of a large account, and years of nights of a small one.
"""

import argparse


def main() -> None:
    """Run the benchmark named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0])
    benchmarks = parser.add_subparsers(dest="benchmark", required=True)
    sync = benchmarks.add_parser("sync", help="a full sync of a simulated account, under the limit and without one")
    sync.add_argument("--customers", type=int, default=20_000, help="20,000 make about 175,000 objects (default)")
    sync.add_argument("--seed", type=int, default=1)
    limits = benchmarks.add_parser("limits", help="all of slots, channel and rates")
    benchmarks.add_parser("slots", help="slots granted a second")
    channel = benchmarks.add_parser("channel", help="the channel beside other queues, and over HTTP; needs the extra `bench`")
    rates = benchmarks.add_parser("rates", help="how much of a limit is used, alone and by processes that share it")
    platform = benchmarks.add_parser("accounts", help="a platform with many connected accounts: time and memory")
    platform.add_argument("--accounts", type=int, default=1_000)
    nightly = benchmarks.add_parser("catch-up", help="nightly catch-ups after 1% has changed: requests against the fewest possible")
    nightly.add_argument("--customers", type=int, default=5_000, help="110,000 make about 1,000,000 objects (default 5,000)")
    nightly.add_argument("--seed", type=int, default=1)
    years = benchmarks.add_parser("soak", help="a run a night for years: time, requests, memory and the file's size against its content")
    years.add_argument("--years", type=int, default=10)
    years.add_argument("--customers", type=int, default=1_000, help="how many there are at the beginning (default 1,000)")
    years.add_argument("--seed", type=int, default=1)
    for each in (limits, channel):
        each.add_argument("--items", type=int, default=100_000, help="items a run (default 100,000); over HTTP as many altogether")
    for each in (limits, rates):
        each.add_argument("--seconds", type=float, default=10.0, help="how long each rate is measured (default 10)")
    arguments = parser.parse_args()
    if arguments.benchmark == "sync":
        from benchmarks import full_sync

        full_sync.run(customers=arguments.customers, seed=arguments.seed)
    if arguments.benchmark == "catch-up":
        from benchmarks import catch_up

        catch_up.run(customers=arguments.customers, seed=arguments.seed)
    if arguments.benchmark == "soak":
        from benchmarks import soak

        soak.run(years=arguments.years, customers=arguments.customers, seed=arguments.seed)
    if arguments.benchmark == "accounts":
        from benchmarks import accounts

        accounts.run(accounts=arguments.accounts)
    if arguments.benchmark in ("slots", "limits"):
        from benchmarks import slots as granted

        granted.run()
    if arguments.benchmark in ("channel", "limits"):
        from benchmarks import channel as queues
        from benchmarks import channel_over_http

        queues.run(items=arguments.items)
        channel_over_http.run(items=arguments.items)
    if arguments.benchmark in ("rates", "limits"):
        from benchmarks import rates as shares

        shares.run(seconds=arguments.seconds)


if __name__ == "__main__":
    main()
