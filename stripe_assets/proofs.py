"""The checks that hold the mirror against Stripe, as the page shows them: pressed one by one, or all of them once a week.

One step makes all that are selected, under one limiter. What is read and what is an error is decided in `sync`; the check
that a type's last sync was complete is in `checks`.
"""

import random
from collections.abc import Iterable, Mapping, Sequence

import dagster as dg

from stripe_assets.assets import POOL, asset_key
from stripe_assets.catalog.money import TRANSACTIONS
from stripe_assets.catalog.types import load
from stripe_assets.errors import MirrorError, RequestError, Unauthorized
from stripe_assets.partitions import accounts_of
from stripe_assets.resources import StripeResource
from stripe_assets.sync.accounts import Platform
from stripe_assets.sync.engine import Mirror
from stripe_assets.sync.money import MoneyProof, add_up
from stripe_assets.sync.proof import looked_at, prove
from stripe_assets.sync.verdicts import EXAMPLES, NOT_WHOLE, TypeProof
from stripe_assets.warehouse.agreement import What
from stripe_assets.warehouse.database import Database
from stripe_assets.warehouse.kinship import Kinship, is_knowable, kinship

EQUAL, WHOLE, ADDS_UP = "equal", "whole", "adds_up"
MOST_ACCOUNTS = 4
"""Accounts that one run proves, the key's own and others at random: each takes some 270 requests of its own limit."""
PARTITION = "dagster/partition"
"""The tag of a run that is about one account."""

Metadata = dict[str, dg.MetadataValue]


def specs() -> list[dg.AssetCheckSpec]:
    """Give every type's asset its proof, the children the look for their parents, and the balance transactions their sums."""
    equal = (
        "Reads some objects again, by their ids and a page of their list, at most three requests, and compares every column. "
        "What has changed since the last sync is no error."
    )
    whole = "No child without its parent in the mirror, and none missing that its parent names. Makes no request."
    adds_up = "Balance transactions add up to the balance, and those of every settled payout to its amount, each currency by itself."
    return [
        *(dg.AssetCheckSpec(EQUAL, asset=asset_key(kind.name), description=equal) for kind in load()),
        *(dg.AssetCheckSpec(WHOLE, asset=asset_key(kind.name), description=whole) for kind in load() if is_knowable(kind)),
        dg.AssetCheckSpec(ADDS_UP, asset=asset_key(TRANSACTIONS), description=adds_up),
    ]


def selection() -> dg.AssetSelection:
    """Select all of these checks, and no asset."""
    return dg.AssetSelection.checks(*(spec.key for spec in specs()))


def proven(accounts: Sequence[str] = ()) -> dg.AssetChecksDefinition:
    """Give the checks; `accounts` as STRIPE_ACCOUNTS names them."""

    @dg.multi_asset_check(name="proof", specs=specs(), can_subset=True, pool=POOL)
    async def proof(context: dg.AssetCheckExecutionContext, stripe: StripeResource):  # type: ignore[no-untyped-def]  # Dagster refuses a return annotation on it
        """Prove what is selected."""
        asked = context.selected_asset_check_keys
        names = {check: {key.asset_key.path[-1] for key in asked if key.name == check} for check in (EQUAL, WHOLE, ADDS_UP)}
        try:
            platform = Platform(stripe.settings())
            whole = _families(platform.database, names[WHOLE])
            mirrors = _mirrors(stripe, platform, accounts, context.run.tags, seed=context.run.run_id)
            equal, sums = await _proofs(mirrors, names[EQUAL], money=bool(names[ADDS_UP]), seed=context.run.run_id)
        except MirrorError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from error
        for name in sorted(names[EQUAL]):
            yield equality(equal[name])
        for name in sorted(names[WHOLE]):
            yield wholeness(name, whole.get(name))
        if names[ADDS_UP]:
            yield sums_of(sums)

    return proof


def _mirrors(stripe: StripeResource, platform: Platform, accounts: Sequence[str], tags: Mapping[str, str], *, seed: str) -> list[Mirror]:
    """Choose the accounts: the one that the run is about, else the key's own and a few of those that are mirrored."""
    if not accounts:
        return [stripe.mirror()]
    if PARTITION in tags:
        return [platform.mirror(account) for account in accounts_of([tags[PARTITION]])]
    known = _known(platform.database)
    others = random.Random(seed).sample(known, min(len(known), MOST_ACCOUNTS))
    return [platform.mirror(account) for account in (None, *others)]


def _known(database: Database) -> list[str]:
    query = "select distinct account_id from stripe_sync.checkpoints order by 1"
    if not database.path.exists():
        return []
    return [account for (account,) in looked_at(database, lambda connection: connection.execute(query).fetchall())]


async def _proofs(
    mirrors: Sequence[Mirror], types: Iterable[str], *, money: bool, seed: str
) -> tuple[dict[str, TypeProof], list[MoneyProof]]:
    """Prove one account after the other; one that cannot be read says so in each type, and does not stop the others."""
    names, found, sums, done = sorted(types), dict[str, TypeProof](), list[MoneyProof](), set[str]()
    for mirror in mirrors:
        if mirror.account in done or len(done) == MOST_ACCOUNTS:
            continue
        try:
            if money:
                added = await add_up(mirror)
                sums.append(added)
                done.add(added.account_id)
            if names:
                proof = await prove(mirror, names, seed=seed)
                done.add(proof.account_id)
                parts = proof.types
            else:
                parts = {}
        except Unauthorized:
            raise
        except RequestError as error:
            if len(mirrors) == 1:
                raise
            parts = {name: TypeProof(name, refused=(f"{mirror.account}: {error}",)) for name in names}
        found = {name: found[name] + part if name in found else part for name, part in parts.items()} or found
    return found, sums


def _families(database: Database, names: Iterable[str]) -> dict[str, Kinship]:
    catalog = load()
    if not names or not database.path.exists():
        return {}
    return looked_at(database, lambda connection: {name: kinship(connection, catalog, catalog[name]) for name in names})


def equality(proof: TypeProof) -> dg.AssetCheckResult:
    """Turn what became of a type into the check's result: an error where something is wrong, a warning where nothing could be known."""
    metadata: Metadata = {
        "sampled": dg.MetadataValue.int(proof.sampled),
        "equal": dg.MetadataValue.int(proof.equal),
        **{what.value: dg.MetadataValue.int(proof.errors.get(what, 0)) for what in What},
        "forgiven": dg.MetadataValue.int(sum(times for times, _ in proof.forgiven.values())),
        "requests": dg.MetadataValue.int(proof.requests),
    }
    if proof.examples:
        metadata["examples"] = _table(
            {
                "account": one.account_id,
                "id": one.id,
                "what": one.what.value,
                "column": one.column,
                "mirror": one.ours,
                "Stripe": one.theirs,
            }
            for one in proof.examples
        )
    if proof.forgiven:
        metadata["forgiven because"] = _table(
            {"reason": reason, "times": times, "for example": example} for reason, (times, example) in proof.forgiven.items()
        )
    if proof.refused:
        metadata["not read"] = dg.MetadataValue.text("; ".join(proof.refused))
    counted = f"{proof.equal:,} of {proof.sampled:,} objects are as Stripe has them"
    told = ", ".join([f"{count:,} {what.value}" for what, count in proof.errors.items()])
    description = "; ".join(part for part in (proof.unproven or counted, told, *proof.refused) if part)
    known = proof.unproven != NOT_WHOLE and not proof.refused
    return _result(EQUAL, proof.type, passed=proof.passed and known, wrong=not proof.passed, description=description, metadata=metadata)


def wholeness(name: str, found: Kinship | None) -> dg.AssetCheckResult:
    """Turn what was found about a type's children into the check's result."""
    if found is None or not found.accounts:
        return _result(WHOLE, name, passed=False, wrong=False, description=f"{NOT_WHOLE}, and its parents", metadata={})
    metadata: Metadata = {"children": dg.MetadataValue.int(found.children), "lists in parents": dg.MetadataValue.int(found.lists)}
    if found.wrong:
        metadata["wrong"] = _table({"what": what, "times": count} for what, count in found.wrong.items())
        metadata["examples"] = _table(
            {"account": one.account_id, "id": one.id, "parent": one.parent_id, "what": one.wrong} for one in found.examples
        )
    told = "; ".join(f"{count:,}: {what}" for what, count in found.wrong.items())
    description = told or f"{found.children:,} children, each with its parent"
    return _result(WHOLE, name, passed=not found.wrong, wrong=bool(found.wrong), description=description, metadata=metadata)


def sums_of(proofs: Sequence[MoneyProof]) -> dg.AssetCheckResult:
    """Turn the sums of the accounts into the check's result."""
    lines = [(proof.account_id, line) for proof in proofs for line in proof.lines]
    apart = [(proof.account_id, one) for proof in proofs for one in proof.apart]
    unproven = [f"{proof.account_id}: {why}" for proof in proofs for why in proof.unproven]
    metadata: Metadata = {
        "settled payouts": dg.MetadataValue.int(sum(proof.payouts for proof in proofs)),
        "requests": dg.MetadataValue.int(sum(proof.requests for proof in proofs)),
    }
    if lines:
        metadata["by currency"] = _table(
            {
                "account": account,
                "currency": line.currency,
                "transactions": line.added_up,
                "of them since the last sync": line.newer,
                "the balance": line.balance,
            }
            for account, line in lines
        )
    if apart:
        metadata["examples"] = _table(
            {
                "account": account,
                "payout": one.id,
                "currency": one.currency,
                "amount": one.amount,
                "compared with": one.of,
                "which says": "nothing" if one.added_up is None else str(one.added_up),
            }
            for account, one in apart[:EXAMPLES]
        )
    if unproven:
        metadata["not added up"] = dg.MetadataValue.text("; ".join(unproven))
    amiss = [f"{line.currency}: transactions {line.added_up}, balance {line.balance}" for _, line in lines if not line.agrees]
    told = [*amiss, *([f"{len(apart):,} payouts are not what their transactions say"] if apart else []), *unproven]
    passed, known = all(proof.passed for proof in proofs), bool(lines) or any(proof.payouts for proof in proofs)
    description = "; ".join(told) or "every currency's transactions add up to its balance, and every payout's to its amount"
    return _result(ADDS_UP, TRANSACTIONS, passed=passed and known, wrong=not passed, description=description, metadata=metadata)


def _result(check: str, name: str, *, passed: bool, wrong: bool, description: str, metadata: Metadata) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.ERROR if wrong else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        check_name=check, asset_key=asset_key(name), passed=passed, severity=severity, description=description, metadata=metadata
    )


def _table(rows: Iterable[Mapping[str, str | int]]) -> dg.TableMetadataValue:
    return dg.MetadataValue.table([dg.TableRecord(dict(row)) for row in rows])
