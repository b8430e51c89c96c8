"""What the tests of requests share: a small account, a client of it, and a clock that runs fast where there are real sockets."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from stripe_assets.api.client import StripeClient
from stripe_assets.limits.limiter import Limiter, Limits
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.in_process import Line

KEY = "sk_test_51Habcdefghijklmnopqrstuvwxyz_simulator"
SPEED = 50
"""Seconds of the loop in a real one: the pauses of eight attempts take about one real second."""


@pytest.fixture(scope="session")
def account() -> Account:
    """Some customers with their charges, that no test changes."""
    return Account(seed=7, customers=300, now=1_790_000_000, months=6)


@pytest.fixture
def make_client() -> Callable[..., StripeClient]:
    """Make a client, of an ASGI callable in the process or of an address."""

    def make(app: Any = None, *, base_url: str = "http://stripe.test", limits: Limits | None = None, **options: Any) -> StripeClient:
        return StripeClient(
            api_key=options.pop("api_key", KEY),
            base_url=base_url,
            api_version="2026-05-27.dahlia",
            limiter=Limiter(limits or Limits(100.0, 25.0)),
            transport=Line(app) if app is not None else None,
            seed=1,
            **options,
        )

    return make


class _FastSelector(selectors.DefaultSelector):  # type: ignore[valid-type,misc]  # the platform's choice
    def select(self, timeout: float | None = None) -> Any:
        return super().select(timeout / SPEED if timeout else timeout)


class _FastLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        super().__init__(_FastSelector())

    def time(self) -> float:
        return super().time() * SPEED


@pytest.fixture
def run_fast() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Run a coroutine whose pauses are short in reality: virtual time does not work with sockets."""

    def run(main: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=_FastLoop) as runner:
            return runner.run(main)

    return run


@pytest.fixture(autouse=True)
def _without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the machine's own proxy settings not decide a test."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
