"""A run that is cancelled in the middle."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import virtual_time
from mirroring import World

from stripe_assets.limits.guard import InProcess
from stripe_assets.sync.engine import Mirror
from stripe_assets.sync.settings import Settings


def interrupted(here: World, at: Callable[[Any], bool], *, rate_limit: float = 100.0, **options: Any) -> None:
    """Sync until Stripe is asked for something; then cancel the run."""
    settings = Settings(api_key=here.key, api_base="http://stripe.test", duckdb=here.database, rate_limit=rate_limit)
    halt = asyncio.Event()

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        if at(scope):
            halt.set()
            await asyncio.sleep(3600)
        await here.app(scope, receive, send)

    async def main() -> None:
        transport = httpx.ASGITransport(serve)  # type: ignore[arg-type]  # an ASGI callable
        run = asyncio.ensure_future(Mirror(settings, transport=transport, sharing=lambda _allowance: InProcess()).sync(**options))
        await halt.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    virtual_time.run(main())
