"""Says what keeps a mirror from working, and how to mend it: the key, what it may read, the file, the limits, Dagster.

Nothing is written into the mirror. The file is looked at in `doctor_file`, Dagster in `doctor_dagster`; the requests are made
by `sync.permissions`.
"""

import asyncio
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from time import time

import typer
import uvloop

from stripe_assets.catalog.types import Catalog, load
from stripe_assets.commands import doctor_file
from stripe_assets.commands.console import errors_console, log_to, results_console
from stripe_assets.commands.endings import COULD_NOT_RUN, INCOMPLETE, WRONG_USAGE, sentence
from stripe_assets.commands.findings import Finding, first_status, ok, show, warning, wrong
from stripe_assets.errors import ConfigurationError, MirrorError, RequestError, Unauthorized
from stripe_assets.limits.shared_file import default_folder
from stripe_assets.limits.sharing import address_of, open_sharing
from stripe_assets.sync.opening import OWN_ACCOUNT
from stripe_assets.sync.permissions import Access, Examiner, Owner, TypeAccess, examining
from stripe_assets.sync.settings import API_BASE, LIVE_LIMIT, LOCAL, SANDBOX_LIMIT, Settings, duckdb_path, from_environment
from stripe_assets.warehouse.private import private

ORDER = (WRONG_USAGE, COULD_NOT_RUN, INCOMPLETE)
"""Which exit status wins where several things are wrong: what has to be mended before anything else can be known."""
KEYS_PAGE = "in the dashboard, under Developers, API keys"


def doctor(environment: Mapping[str, str], *, as_json: bool, debug: bool) -> None:
    """Examine everything and print it; exits with 0 if nothing is wrong, else as `ORDER` says."""
    log_to(errors_console(), debug=debug)
    if not debug:
        logging.getLogger("stripe_assets").setLevel(logging.ERROR)  # what is worth a warning is a finding
    path, catalog, now = duckdb_path(environment), load(), datetime.fromtimestamp(time(), UTC)
    found, types = _stripe(environment, catalog, path, now)
    findings = [*found, *doctor_file.examine(path, catalog, now=now), *_dagster(environment)]
    status = first_status(findings, ORDER)
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "ok": status == 0,
                    "findings": [{name: value for name, value in asdict(one).items() if name != "status"} for one in findings],
                    "types": [asdict(one) for one in types],
                }
            )
        )
    else:
        show(findings, results_console())
    if status:
        raise typer.Exit(status)


def _dagster(environment: Mapping[str, str]) -> Iterator[Finding]:
    from stripe_assets.commands import doctor_dagster  # Dagster takes two seconds to load: not before the rest is known

    yield from doctor_dagster.examine(environment)


def _stripe(environment: Mapping[str, str], catalog: Catalog, path: Path, now: datetime) -> tuple[list[Finding], list[TypeAccess]]:
    """Look at the settings, then at what Stripe says to the key."""
    try:
        settings = from_environment(environment)
        private(catalog, exclude=settings.exclude_columns, hashed=settings.hash_columns, key=settings.hash_key)
    except ConfigurationError as error:
        return [wrong("settings", str(error), status=WRONG_USAGE)], []
    findings: list[Finding] = []
    types: list[TypeAccess] = []

    async def go() -> None:
        async with examining(settings, catalog) as examiner:
            owner = await examiner.owner()
            account_id = owner.id if isinstance(owner, Owner) else OWN_ACCOUNT
            findings.extend([*_key(settings, catalog, owner), *_limits(settings, examiner, account_id)])
            if not first_status(findings, ORDER):  # else the requests would not be counted
                types.extend(await examiner.types(doctor_file.examples(path, catalog, account_id=account_id, now=now)))
                findings.extend(_types(types))

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(go())
    except Unauthorized as error:
        findings.append(wrong("key", sentence(error), status=WRONG_USAGE))
    except MirrorError as error:
        findings.append(wrong("key", sentence(error), status=COULD_NOT_RUN))
    return findings, types


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


def _types(types: Sequence[TypeAccess]) -> Iterator[Finding]:
    """Tell of each type that cannot be read; of the others how many they are."""
    readable = [one for one in types if one.access is Access.READABLE]
    yield ok("types", f"{len(readable)} of {len(types)} types can be read")
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
