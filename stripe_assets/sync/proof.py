"""Proves that the mirror equals the account: some of each type is read again, and every column compared.

Nothing is written, and every request has the lowest priority. What is asked for is chosen in `questions`, what is no error is
decided in `excuses`; whether the money adds up is asked in `money`.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import duckdb
import msgspec

from stripe_assets.catalog.types import ObjectType
from stripe_assets.errors import CursorLost, Declined, Missing, RequestError, Unauthorized, WarehouseError
from stripe_assets.sync.engine import Mirror, first_error
from stripe_assets.sync.excuses import News, excuse, is_told, news
from stripe_assets.sync.opening import Opening
from stripe_assets.sync.questions import Question, questions
from stripe_assets.sync.settings import known_types
from stripe_assets.sync.verdicts import EMPTY, EXAMPLES, NOT_WHOLE, Example, Proof, TypeProof
from stripe_assets.warehouse.agreement import Case, Reading, What, compare, unfaithful
from stripe_assets.warehouse.database import Database
from stripe_assets.warehouse.ledger import COMPLETE, Checkpoint, Ledger
from stripe_assets.warehouse.showing import shown

T = TypeVar("T")
ATTEMPTS = 4
"""Times that a request is sent, which takes 2 to 4 seconds: what does not answer is proven another time."""
AT_ONCE = 16
"""Types that are read at the same time: a hundred objects of each are in memory."""


async def prove(mirror: Mirror, types: Iterable[str] = (), *, seed: str) -> Proof:
    """Read some of the named types again (all without names), chosen by the random `seed`, and compare.

    Raises `ConfigurationError`, `Unauthorized` and `WarehouseError`; what Stripe refuses of one type is told with it.
    """
    names = known_types(mirror.catalog, types)
    async with mirror.opened(names) as opening:
        with ThreadPoolExecutor(1, thread_name_prefix="prove") as thread:  # the file may have to be waited for
            proving = _Proving(mirror, opening, thread, seed)
            try:
                found = await proving.prove([kind for kind in mirror.catalog if kind.name in names])
            except BaseExceptionGroup as errors:
                raise first_error(errors) from errors
        return Proof(opening.account_id, found, opening.client.requests.total())


@dataclass(slots=True)
class _Looked:
    """One type on the way to its proof."""

    kind: ObjectType
    asked: int = 0
    sampled: int = 0
    cases: list[Case] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


class _Proving:
    """One proof of one account, with everything open."""

    def __init__(self, mirror: Mirror, opening: Opening, thread: ThreadPoolExecutor, seed: str) -> None:
        self._mirror = mirror
        self._catalog = mirror.catalog
        self._opening = opening
        self._thread = thread
        self._seed = seed
        self._account_id = opening.account_id
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._clock = opening.clock

    async def prove(self, kinds: Sequence[ObjectType]) -> dict[str, TypeProof]:
        if not self._mirror.database.path.exists():
            return {kind.name: TypeProof(kind.name, unproven=NOT_WHOLE) for kind in kinds}
        checkpoints, latest, applied, chosen = await self._call(lambda connection: self._choose(connection, kinds))
        self._clock.not_before(latest)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._look(self._catalog[name], asked, checkpoints[name])) for name, asked in chosen.items()]
        looked = {task.result().kind.name: task.result() for task in tasks}
        doubted = [one.kind for one in looked.values() if one.cases and is_told(one.kind, self._catalog)]
        told = await news(self._opening.client, self._catalog, doubted, checkpoints, applied) if doubted else News()
        found = {}
        for kind in kinds:
            if (one := looked.get(kind.name)) is None:
                found[kind.name] = TypeProof(kind.name, unproven=NOT_WHOLE)
            else:
                found[kind.name] = await self._judge(one, checkpoints[kind.name], told)
        return found

    def _choose(
        self, connection: duckdb.DuckDBPyConnection, kinds: Sequence[ObjectType]
    ) -> tuple[dict[str, Checkpoint], float, frozenset[str], dict[str, list[Question]]]:
        """Choose what to ask of each type that has been read whole; give how far all are, when the newest of their rows was read, and
        the events that have been applied."""
        self._mirror.database.refuse_newer(connection)
        ledger = Ledger(connection, self._account_id)
        checkpoints, latest = ledger.checkpoints(), ledger.latest_reading(kinds)
        rows = connection.execute(
            "select event_id from stripe_sync.changes where account_id = ? and applied", [self._account_id]
        ).fetchall()
        chosen = {
            kind.name: questions(
                connection, kind, standing, account_id=self._account_id, seed=f"{self._seed} {kind.name}", newest=self._opening.newest
            )
            for kind in kinds
            if (standing := checkpoints.get(kind.name)) is not None and standing.state == COMPLETE
        }
        return checkpoints, latest, frozenset(event for (event,) in rows), chosen

    async def _look(self, kind: ObjectType, asked: Sequence[Question], checkpoint: Checkpoint) -> _Looked:
        """Ask, and compare what comes; objects from before the time that the mirror begins at are none of its own."""
        looked, readings, gone = _Looked(kind), list[Reading](), list[str]()
        async with self._turn:
            began = self._clock.now()
            for question in asked:
                looked.asked += 1
                try:
                    reading = await self._read(kind, question)
                except Unauthorized:
                    raise
                except (Missing, CursorLost) as error:
                    gone += _gone(question, error)
                    continue
                except RequestError as error:
                    if kind.parent is not None and (isinstance(error, Declined) or error.code == "resource_missing"):
                        continue  # that one parent cannot be asked, which says nothing about its children's rows
                    looked.refused.append(str(error))
                    break  # and so will the other requests be
                readings.append(reading)
            compared, cases = await self._call(
                lambda connection: compare(connection, self._catalog, kind, readings, gone, account_id=self._account_id, began=began)
            )
        since = checkpoint.since
        looked.cases = [case for case in cases if since is None or case.what is not What.MISSING or (case.created or since) >= since]
        lacking = sum(case.what is What.UNKNOWN for case in cases)  # seen in the mirror only
        looked.sampled = compared + lacking - (len(cases) - len(looked.cases))
        return looked

    async def _read(self, kind: ObjectType, question: Question) -> Reading:
        page = await self._opening.client.get(question.request, question.read, attempts=ATTEMPTS)
        objects = tuple(self._mirror.private.clean(raw, kind.object) for raw in page.objects)
        if question.object_id is not None and _traces.decode(page.objects[0]).deleted:
            raise Missing(f"GET {question.request.path} gave the trace of a deleted object", path=question.request.path)
        return Reading(objects, self._clock.now(), question.parent_id, question.rows(page))

    async def _judge(self, looked: _Looked, checkpoint: Checkpoint, told: News) -> TypeProof:
        """Tell errors from what has changed since the last sync."""
        kind, wrong = looked.kind, set[str]()
        if looked.cases and (not is_told(kind, self._catalog) or checkpoint.events_from is None):
            ids = [case.id for case in looked.cases if case.what is What.DIFFERING]
            wrong = await self._call(lambda connection: unfaithful(connection, self._catalog, kind, ids, self._account_id))
        errors, forgiven, examples = dict[What, int](), dict[str, tuple[int, str]](), list[Example]()
        for case in looked.cases:
            reason = excuse(case, kind, self._catalog, checkpoint, told, faithful=case.id not in wrong)
            if reason is not None:
                forgiven[reason] = (forgiven.get(reason, (0, ""))[0] + 1, forgiven.get(reason, (0, case.id))[1])
                continue
            errors[case.what] = errors.get(case.what, 0) + 1
            examples += self._examples(kind, case)
        nothing = EMPTY if not looked.sampled and not looked.refused else None
        return TypeProof(
            kind.name,
            looked.sampled,
            looked.sampled - len(looked.cases),
            errors,
            forgiven,
            tuple(examples[:EXAMPLES]),
            looked.asked,
            nothing,
            tuple(looked.refused),
        )

    def _examples(self, kind: ObjectType, case: Case) -> list[Example]:
        if case.what is not What.DIFFERING:
            return [Example(self._account_id, case.id, case.what)]
        return [Example(self._account_id, case.id, case.what, *shown(apart, kind, self._mirror.private)) for apart in case.apart]

    async def _call(self, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, looked_at, self._mirror.database, work)


def looked_at(database: Database, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
    """Do work on the file without changing it. Raises `WarehouseError`."""
    try:
        with database.open(read_only=True) as connection:
            return work(connection)
    except duckdb.Error as error:
        raise WarehouseError(f"{database.path} cannot be read ({str(error).splitlines()[0]}): sync once, or choose another file") from error


def _gone(question: Question, error: RequestError) -> list[str]:
    """Name the object that Stripe does not know: that which was asked for, or which a page was to start after."""
    name = question.object_id if isinstance(error, Missing) else question.request.params.get("starting_after")
    return [str(name)] if name is not None else []


class _Trace(msgspec.Struct, frozen=True):
    deleted: bool = False


_traces = msgspec.json.Decoder(_Trace)
