"""Serves a simulated account until it is told to end."""

import signal
import threading
from collections.abc import Iterable
from dataclasses import dataclass

import typer

from stripe_assets.commands.endings import tell
from stripe_assets.commands.places import check_port
from stripe_assets.errors import ConfigurationError
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.faults import SERVED
from stripe_assets.simulator.keys import DEFAULT_KEY
from stripe_assets.simulator.server import HOST, serving


@dataclass(frozen=True, slots=True)
class Manners:
    """How the simulated Stripe behaves: `latency` in seconds, limits in requests per second, faults by rate."""

    latency: float
    account_limit: int | None
    endpoint_limit: int | None
    faults: dict[str, float]
    live: bool


def fault_rates(texts: Iterable[str]) -> dict[str, float]:
    """Read `NAME=RATE` pairs. Raises `ConfigurationError`."""
    rates = {}
    for text in texts:
        name, _, rate = text.partition("=")
        if name not in SERVED:
            raise ConfigurationError(f"--fault {text!r} names no fault: there are {', '.join(SERVED)}")
        try:
            rates[name] = float(rate)
        except ValueError as error:
            raise ConfigurationError(f"--fault {text!r} has no rate: write it as {name}=0.05") from error
        if not 0 <= rates[name] <= 1:
            raise ConfigurationError(f"--fault {text!r} has a rate that is no share of the requests: give one from 0 to 1")
    return rates


def simulate(*, port: int, seed: int, customers: int, connected: int, manners: Manners) -> None:
    """Serve an account on loopback until SIGINT or SIGTERM. Raises `CommandError` if the port is taken."""
    check_port(HOST, port)  # before the account is made, which may take a while
    tell(f"making an account with {customers:,} customers ...")
    account = Account(seed=seed, customers=customers, connected=connected)
    end = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: end.set())
    with serving(
        account,
        port=port,
        live=manners.live,
        seed=seed,
        latency=manners.latency,
        account_limit=manners.account_limit,
        endpoint_limit=manners.endpoint_limit,
        faults=manners.faults,
    ) as server:
        typer.echo(f"a simulated Stripe account answers at {server.url} to the key {DEFAULT_KEY}; mirror it with")
        # A file of its own, so that a simulated account is never mixed into the mirror of a real one.
        typer.echo(f"  STRIPE_DUCKDB=data/simulated.duckdb STRIPE_API_BASE={server.url} STRIPE_API_KEY={DEFAULT_KEY} stripe-assets sync")
        typer.echo("Ctrl-C ends it")
        end.wait()
        tell("stopping")
