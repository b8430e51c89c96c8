"""Runs the benchmarks: `python -m benchmarks sync` (README: how fast it is)."""

import argparse

from benchmarks import full_sync


def main() -> None:
    """Run the benchmark named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0])
    benchmarks = parser.add_subparsers(dest="benchmark", required=True)
    sync = benchmarks.add_parser("sync", help="a full sync of a simulated account, under the limit and without one")
    sync.add_argument("--customers", type=int, default=20_000, help="20,000 make about 175,000 objects (default)")
    sync.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    full_sync.run(customers=arguments.customers, seed=arguments.seed)


if __name__ == "__main__":
    main()
