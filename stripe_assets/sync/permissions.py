"""Asks Stripe for one object of each type, to learn what the key may read and the account uses. Nothing is stored.

What follows for a person belongs in `commands/doctor`; what a sync makes of a refusal in `backfill`.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum

import httpx
import msgspec

from stripe_assets.api.answers import UNREADABLE, Answer, damaged, read_page, read_single, read_token_page
from stripe_assets.api.client import Request, StripeClient
from stripe_assets.catalog.types import Catalog, Form, ObjectType, Paging
from stripe_assets.errors import Declined, Missing, Refused, RequestError, Unauthorized
from stripe_assets.limits.guard import Sharing
from stripe_assets.limits.limiter import Limiter
from stripe_assets.limits.priority import Priority
from stripe_assets.sync.settings import Settings

ATTEMPTS = 3
"""Times that a request is sent: one that needs more is worth telling."""
NO_PERMISSION = "more_permissions_required_for_application"
"""Stripe's code where the key lacks a permission; the message names it."""
_NAMED = re.compile(r"\brak_\w+")

Example = tuple[str, Mapping[str, str]]
"""Somebody whose objects can be asked for: the id that stands in the request, and its further parameters."""


class Access(StrEnum):
    """What one request for a type has told."""

    READABLE = "readable"
    FORBIDDEN = "forbidden"  # the key lacks a permission
    UNUSED = "not used"  # the account does not have the product, or Stripe refuses for a reason of its own
    UNCHECKED = "unchecked"  # there was nobody to ask about
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class TypeAccess:
    """Whether a type can be read; why not, in Stripe's words, and the name of the permission that is lacking."""

    type: str
    access: Access
    reason: str | None = None
    permission: str | None = None
    request_id: str | None = None


class Owner(msgspec.Struct, frozen=True):
    """The account that a key belongs to."""

    id: str
    business_profile: dict[str, object] | None = None
    settings: dict[str, dict[str, object] | None] | None = None

    @property
    def name(self) -> str | None:
        """The account's name as the dashboard shows it, or as its customers do."""
        shown = ((self.settings or {}).get("dashboard") or {}).get("display_name") or (self.business_profile or {}).get("name")
        return str(shown) if shown else None


_owners = msgspec.json.Decoder(Owner)


class Examiner:
    """One key, and the limits that its requests keep."""

    def __init__(self, client: StripeClient, catalog: Catalog) -> None:
        """Ask by `client`."""
        self._client = client
        self._catalog = catalog

    async def owner(self) -> Owner | RequestError:
        """Ask whose key it is; the error where the key may not be told. Raises `Unauthorized` and `Transient`."""
        try:
            return await self._client.get(Request("/v1/account", "GET /v1/account", Priority.LEAF), _read_owner, attempts=ATTEMPTS)
        except (Refused, Missing) as error:
            return error

    def share(self, sharing: Sharing) -> None:
        """Let others who use the account count as well, from now on."""
        self._client.limiter.share(sharing)

    async def types(self, examples: Mapping[str, Example]) -> list[TypeAccess]:
        """Ask once for each type; for those that belong to others with the `examples` that there are. Raises `Unauthorized`."""
        try:
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(self._type(kind, examples.get(kind.name))) for kind in self._catalog]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        return [one.result() for one in asked]

    async def _type(self, kind: ObjectType, example: Example | None) -> TypeAccess:
        if kind.parent is not None and example is None:
            return TypeAccess(kind.name, Access.UNCHECKED, f"the mirror has no {kind.parent.type} to ask about")
        try:
            await self._ask(kind, example if kind.parent is not None else None)
        except Unauthorized:
            raise
        except RequestError as error:
            if kind.fallback is None or error.status != 400:
                return _refusal(kind, error)
            return await self._type_by_fallback(kind.fallback, example, error)
        return TypeAccess(kind.name, Access.READABLE)

    async def _type_by_fallback(self, kind: ObjectType, example: Example | None, first: RequestError) -> TypeAccess:
        found = await self._type(kind, example)
        return found if found.access is not Access.UNCHECKED else TypeAccess(kind.name, Access.UNCHECKED, f"{found.reason}, and {first}")

    async def _ask(self, kind: ObjectType, example: Example | None) -> None:
        parent_id, further = example if example is not None else (None, {})
        path, params = kind.list_request(parent_id, further)
        read = read_single if kind.form is Form.SINGLE else read_token_page if kind.paging is Paging.TOKEN else read_page
        limit = {"limit": 1} if kind.paging is not Paging.NONE else {}
        await self._client.get(Request(path, kind.endpoint, Priority.LEAF, {**params, **limit}), read, attempts=ATTEMPTS)


@asynccontextmanager
async def examining(
    settings: Settings,
    catalog: Catalog,
    *,
    account: str | None = None,
    part: float = 1.0,
    transport: httpx.AsyncBaseTransport | None = None,
) -> AsyncIterator[Examiner]:
    """Give an examiner of the settings' key, under their limits, on its own or a connected account.

    `part` of the connections are for it. `transport` replaces the network in tests.
    """
    limiter = Limiter(settings.limits(part=part))
    try:
        async with StripeClient(
            api_key=settings.api_key,
            base_url=settings.api_base,
            api_version=catalog.api_version,
            account=account,
            limiter=limiter,
            transport=transport,
        ) as client:
            yield Examiner(client, catalog)
    finally:
        limiter.close()


def _read_owner(answer: Answer) -> Owner:
    try:
        return _owners.decode(answer.body)
    except UNREADABLE as error:
        raise damaged(answer, error) from error


def _refusal(kind: ObjectType, error: RequestError) -> TypeAccess:
    """Say what an error means for a type."""
    named = _NAMED.search(str(error))
    if error.code == NO_PERMISSION or (error.status == 403 and named is not None):
        access = Access.FORBIDDEN
    elif kind.parent is not None and isinstance(error, Declined | Missing):
        access = Access.UNCHECKED  # this says something about the one that was asked about
    else:
        access = Access.UNUSED if isinstance(error, Refused | Missing) else Access.FAILED
    return TypeAccess(kind.name, access, str(error), named[0] if named is not None else None, error.request_id)
