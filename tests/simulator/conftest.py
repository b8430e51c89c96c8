"""Accounts that the simulator's tests share, and a client that asks them in-process under virtual time."""

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from stripe_assets.simulator.account import Account
from stripe_assets.simulator.http import Application, application
from stripe_assets.simulator.in_process import Line

NOW = 1_790_000_123
KEY = "sk_test_simulator"


class _Jumping(selectors.DefaultSelector):
    """Never waits: tells the loop how far to jump instead."""

    skipped = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        """Jump over the time that the loop would have slept."""
        self.skipped += timeout or 0.0
        return list(super().select(0))


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Give the virtual clock: it stands still unless everybody sleeps."""
        return self._jumping.skipped


class Client:
    """Asks an application in-process, one request per call or many in one loop."""

    def __init__(self, app: Application, key: str | None = KEY) -> None:
        self.app = app
        self.headers = {"authorization": f"Bearer {key}"} if key else {}

    def run(self, talk: Callable[[httpx.AsyncClient], Awaitable[Any]]) -> Any:
        """Run a conversation under virtual time."""

        async def main() -> Any:
            transport = Line(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://simulator", headers=self.headers) as client:
                return await talk(client)

        with asyncio.Runner(loop_factory=_VirtualLoop) as runner:
            return runner.run(main())

    def get(self, path: str, params: Any = None, **options: Any) -> httpx.Response:
        """Ask once."""
        return self.run(lambda client: client.get(path, params=params, **options))  # type: ignore[no-any-return]

    def post(self, path: str, **options: Any) -> httpx.Response:
        """Post once."""
        return self.run(lambda client: client.post(path, **options))  # type: ignore[no-any-return]

    def everything(self, path: str, **params: Any) -> list[dict[str, Any]]:
        """Page through a whole list with cursors."""

        async def talk(client: httpx.AsyncClient) -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = []
            while True:
                after = {"starting_after": found[-1]["id"]} if found else {}
                url = httpx.URL(path).copy_merge_params({"limit": 100, **params, **after})
                page = (await client.get(url)).raise_for_status().json()
                found += page["data"]
                if not page["has_more"]:
                    return found

        return self.run(talk)  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def account() -> Account:
    """An account of 400 customers that no test changes."""
    return Account(seed=3, customers=400, now=NOW)


@pytest.fixture
def fresh() -> Account:
    """A small account to change."""
    return Account(seed=5, customers=60, now=NOW, months=8)


@pytest.fixture(scope="session")
def client(account: Account) -> Client:
    """A client of the shared account."""
    return Client(application(account))


@pytest.fixture
def ask() -> Callable[..., Client]:
    """Make a client of an account, with options of the application."""

    def make(account: Account, key: str | None = KEY, **options: Any) -> Client:
        return Client(application(account, **options), key)

    return make
