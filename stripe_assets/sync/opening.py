"""What every run asks first: whose key it is, and by which types others have to be asked for.

What follows from it belongs in `engine`, or in `plan`, which goes no further.
"""

import logging
from dataclasses import dataclass

from stripe_assets.api.answers import Page, Stub, read_page, read_single, read_stub
from stripe_assets.api.client import Request, StripeClient
from stripe_assets.catalog.types import ObjectType
from stripe_assets.errors import Missing, Refused, RequestError, Unauthorized
from stripe_assets.limits.priority import Priority
from stripe_assets.sync.clock import Clock

log = logging.getLogger(__name__)

FIRST_ATTEMPTS = 4
"""Times that the first request is sent, which takes 2 to 4 seconds: a wrong address should be told soon."""
ACCOUNT = "/v1/account"
NO_ACCESS = "account_invalid"
"""Stripe's code for an account that is not connected to the key's, or no longer."""
OWN_ACCOUNT = "self"
"""The account's name where the key may not ask for it."""


@dataclass(frozen=True, slots=True)
class Own:
    """The account that is mirrored: its `stub`, and the whole answer about it, or why there is none."""

    stub: Stub
    answer: Page | Refused | Missing


@dataclass(frozen=True, slots=True)
class Opening:
    """What every run asks first: whose key it is, when the `newest` event happened (none: the key may not read events).

    `kinds` are the types that are read; `client` and `clock` go on from there.
    """

    client: StripeClient
    clock: Clock
    account: Own
    newest: int | None
    kinds: tuple[ObjectType, ...]

    @property
    def account_id(self) -> str:
        """The account that rows are filed under."""
        return self.account.stub.id


async def own_account(client: StripeClient, connected: str | None) -> Own:
    """Ask whose key this is, and since when; a restricted key may not be told. Of a `connected` account, ask whether it is there."""
    request = Request(ACCOUNT, f"GET {ACCOUNT}", Priority.FAN_OUT)
    try:
        return await client.get(request, lambda answer: Own(read_stub(answer), read_single(answer)), attempts=FIRST_ATTEMPTS)
    except (Refused, Missing) as error:
        if error.code == NO_ACCESS:
            raise
        if connected is None:
            log.warning("the key may not read its account (%s): rows are filed under %r", error, OWN_ACCOUNT)
        return Own(Stub(connected or OWN_ACCOUNT), error)


async def ways_around(client: StripeClient, kinds: tuple[ObjectType, ...]) -> frozenset[str]:
    """Name the types that others have to be asked for by, where the account refuses their lists; asked only if they are missing."""
    names = {kind.name for kind in kinds}
    found: set[str] = set()
    for kind in kinds:
        parent = kind.fallback.parent if kind.fallback is not None else None
        if parent is None or parent.type in names:
            continue
        path, params = kind.list_request()
        try:
            await client.get(Request(path, kind.endpoint, Priority.FAN_OUT, {**params, "limit": 1}), read_page)
        except Unauthorized:
            raise
        except RequestError:
            found.add(parent.type)
    return frozenset(found)
