"""Asks Stripe for `doctor`: whose key it is, what it may read, of the key's own account and of each that is connected.

The requests are made by `sync.permissions`, and counted as those of a sync are.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import uvloop

from stripe_assets.catalog.types import Catalog
from stripe_assets.commands import doctor_file
from stripe_assets.commands.console import MOST_SHOWN
from stripe_assets.commands.endings import COULD_NOT_RUN, INCOMPLETE, WRONG_USAGE, sentence
from stripe_assets.commands.findings import Finding, Level, ok, warning, wrong
from stripe_assets.errors import ConfigurationError, MirrorError, RequestError, Unauthorized
from stripe_assets.limits.shared_file import default_folder
from stripe_assets.limits.sharing import address_of, open_sharing
from stripe_assets.sync.accounts import Platform
from stripe_assets.sync.engine import Mirror
from stripe_assets.sync.opening import NO_ACCESS, OWN_ACCOUNT
from stripe_assets.sync.permissions import Access, Examiner, Owner, TypeAccess, examining
from stripe_assets.sync.settings import API_BASE, LIVE_LIMIT, LOCAL, SANDBOX_LIMIT, Settings, from_environment
from stripe_assets.warehouse.private import private

KEYS_PAGE = "in the dashboard, under Developers, API keys"
NAMED = 3
"""Accounts that a finding names, where it holds for several."""


@dataclass(frozen=True, slots=True)
class Examined:
    """What can be read of one account, or why nothing can."""

    account_id: str
    types: Sequence[TypeAccess] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """What Stripe has said to a key: findings, and the accounts in the order in which they were examined, the key's own first."""

    findings: Sequence[Finding]
    accounts: Sequence[Examined] = ()


def ask(environment: Mapping[str, str], catalog: Catalog, path: Path, now: datetime) -> Heard:
    """Look at the settings, then at what Stripe says to the key about each account that they name."""
    try:
        settings = from_environment(environment)
        private(catalog, exclude=settings.exclude_columns, hashed=settings.hash_columns, key=settings.hash_key)
    except ConfigurationError as error:
        return Heard([wrong("settings", str(error), status=WRONG_USAGE)])
    findings: list[Finding] = []
    accounts: list[Examined] = []
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            owner, said = runner.run(_of_the_key(settings, catalog))
            findings += said
            if not any(one.level is Level.WRONG for one in findings):  # else the requests would not be counted
                accounts += runner.run(_of_accounts(settings, catalog, path, now, own=owner))
                findings += _in_one(accounts[0]) if not settings.accounts else _in_several(accounts)
    except Unauthorized as error:
        findings.append(wrong("key", sentence(error), status=WRONG_USAGE))
    except MirrorError as error:
        findings.append(wrong("key", sentence(error), status=COULD_NOT_RUN))
    return Heard(findings, accounts)


async def _of_the_key(settings: Settings, catalog: Catalog) -> tuple[Owner | RequestError, list[Finding]]:
    async with examining(settings, catalog) as examiner:
        owner = await examiner.owner()
        return owner, [*_key(settings, catalog, owner), *_limits(settings, examiner, _name(owner))]


async def _of_accounts(settings: Settings, catalog: Catalog, path: Path, now: datetime, *, own: Owner | RequestError) -> list[Examined]:
    """Ask for each type of each account; one that cannot be asked does not stop the rest."""
    platform = Platform(settings, catalog=catalog)
    found: list[tuple[bool, Examined]] = []

    async def work(mirror: Mirror) -> Examined:
        part = mirror.part if settings.accounts else 1.0
        async with examining(settings, catalog, account=mirror.account, part=part) as examiner:
            owner = own if mirror.account is None else await examiner.owner()
            if isinstance(owner, RequestError) and owner.code == NO_ACCESS:
                raise owner
            account_id = mirror.account or _name(owner)
            examiner.share(open_sharing(settings.limiter, account=settings.allowance_of(account_id), folder=default_folder()))
            examples = doctor_file.examples(path, catalog, account_id=account_id, now=now)
            return Examined(account_id, await examiner.types(examples))

    async def ended(mirror: Mirror | None, account_id: str, result: Examined | RequestError) -> None:
        one = Examined(account_id, error=sentence(result)) if isinstance(result, RequestError) else result
        found.append((mirror is not None and mirror.account is None, one))

    await platform.each(work, ended)
    return [one for _, one in sorted(found, key=lambda each: not each[0])]


def _name(owner: Owner | RequestError) -> str:
    return owner.id if isinstance(owner, Owner) else OWN_ACCOUNT


def _in_one(account: Examined) -> Iterator[Finding]:
    if account.error is not None:
        yield wrong("key", account.error, status=COULD_NOT_RUN)
        return
    yield ok("types", _readable(account.types))
    yield from _types(account.types)


def _in_several(accounts: Sequence[Examined]) -> Iterator[Finding]:
    """Tell how much can be read of each account, and each thing that cannot once, with the accounts that it holds for."""
    holds: dict[Finding, list[str]] = {}
    asked = [one for one in accounts if one.error is None]
    for account in accounts:
        if account.error is not None:
            yield wrong("accounts", f"{account.account_id}: {account.error}", status=INCOMPLETE)
        elif len(accounts) <= MOST_SHOWN:
            yield ok("accounts", f"{account.account_id}: {_readable(account.types)}")
        for finding in _types(account.types):
            holds.setdefault(finding, []).append(account.account_id)
    yield ok("accounts", f"{len(asked):,} of {len(accounts):,} accounts can be read")
    for finding, ids in holds.items():
        yield replace(finding, what=f"{finding.what} ({_which(ids, len(asked))})")


def _which(ids: Sequence[str], of: int) -> str:
    if len(ids) == of:
        return f"all {of:,} accounts" if of > 1 else ids[0]
    return ", ".join(ids[:NAMED]) + (f" and {len(ids) - NAMED:,} more accounts" if len(ids) > NAMED else "")


def _key(settings: Settings, catalog: Catalog, owner: Owner | RequestError) -> Iterator[Finding]:
    kind = "restricted" if settings.api_key.startswith("rk_") else "secret"
    mode = "for real money (live)" if settings.live else "of a sandbox"
    where = "" if settings.api_base.rstrip("/") == API_BASE else f", asked at {settings.api_base}"
    said = f"a {kind} key {mode}, API version {catalog.api_version}{where}"
    if isinstance(owner, Owner):
        yield ok("key", f"{said}; account {owner.id}{f' ({owner.name})' if owner.name else ''}")
    else:
        yield warning("key", f"{said}; it may not read its own account: {owner}", f"rows are filed under {OWN_ACCOUNT!r} until it may")
    if kind == "secret" and settings.live:
        yield warning(
            "key", "a secret key may do everything, and the mirror only reads", f"make a restricted key with read permissions {KEYS_PAGE}"
        )


def _limits(settings: Settings, examiner: Examiner, account_id: str) -> Iterator[Finding]:
    limits, allowed = settings.limits(), LIVE_LIMIT if settings.live else SANDBOX_LIMIT
    share = f", {settings.rate_share:.0%} of it taken" if settings.rate_share < 1 else ""
    yield ok("limits", f"{limits.account:g} requests a second, {limits.endpoint:g} for each endpoint{share}")
    if settings.rate_limit is not None and settings.rate_limit > allowed:
        yield warning(
            "limits",
            f"STRIPE_RATE_LIMIT is {settings.rate_limit:g}, and Stripe allows {allowed:g} a second unless it has agreed to more",
            "unset it: 429s are obeyed, but cost time",
        )
    try:
        sharing = open_sharing(settings.limiter, account=settings.allowance_of(account_id), folder=default_folder())
        examiner.share(sharing)
    except ConfigurationError as error:
        yield wrong("limits", str(error), "no type was asked for: it would not be counted", status=WRONG_USAGE)
        return
    shared = "all processes of this machine" if settings.limiter == LOCAL else f"all machines that use {address_of(settings.limiter).shown}"
    yield ok("limits", f"shared by {shared}")


def _readable(types: Sequence[TypeAccess]) -> str:
    return f"{sum(one.access is Access.READABLE for one in types)} of {len(types)} types can be read"


def _types(types: Sequence[TypeAccess]) -> Iterator[Finding]:
    """Tell of each type that cannot be read."""
    for one in types:
        if one.access is Access.FORBIDDEN:
            what = f"needs the permission {one.permission}" if one.permission else f"lacks a permission: {one.reason}"
            yield wrong("types", f"{one.type} {what}", f"give it to the key {KEYS_PAGE}", status=INCOMPLETE)
        elif one.access is Access.FAILED:
            yield wrong("types", f"{one.type} cannot be read: {one.reason}", "run this again later", status=INCOMPLETE)
        elif one.access is Access.UNUSED:
            yield warning("types", f"{one.type} is not in use: {one.reason}")
    if unchecked := [one for one in types if one.access is Access.UNCHECKED]:
        names = ", ".join(one.type for one in unchecked)
        yield ok("types", f"{len(unchecked)} types are unchecked, as the mirror has nobody to ask about: {names}")
