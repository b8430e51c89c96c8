"""Work whose result nobody waits for: progress events, notifications to an address, metrics.

It never holds up whoever hands it over, and no fault in it reaches them: what finds no room is dropped, what fails is logged,
and both are counted. What must not be lost belongs into a `channel`.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Any, ParamSpec

P = ParamSpec("P")

CAPACITY = 1024
"""Tasks that may wait for their turn."""
AT_ONCE = 8
"""Tasks that may be under way."""
GRACE = 1.0
"""Seconds that a task has for its own tidying up after it was cut off."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Work:
    """A call that is to be made and awaited, in the context of whoever handed it over."""

    name: str
    function: Callable[..., Awaitable[object]]
    arguments: tuple[object, ...]
    keywords: Mapping[str, Any]
    context: Context


class Background:
    """Runs tasks beside everything else: `background.submit("progress", report, page)`.

    Each is counted in the end, by its name, which says what kind of task it is: it is `done`, or `failed`, or was `dropped`, for
    want of room, or because closing came first. Belongs to the event loop that runs when it is made, and to its thread.
    """

    def __init__(self, *, capacity: int = CAPACITY, at_once: int = AT_ONCE) -> None:
        """Start with nothing to do. The `at_once` tasks that are under way are not counted in `capacity`."""
        self.done: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self._capacity = capacity
        self._at_once = at_once
        self._waiting: deque[_Work] = deque()
        self._running: dict[asyncio.Task[None], str] = {}
        self._closed = False
        self._loop = asyncio.get_running_loop()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        ended = f"{self.done.total()} done, {self.failed.total()} failed, {self.dropped.total()} dropped"
        return f"<Background {state}, {len(self._running)} under way, {len(self._waiting)} waiting, {ended}>"

    def submit(self, name: str, function: Callable[P, Awaitable[object]], /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Have a coroutine function called and awaited soon; say whether there was room. Never waits, never raises.

        The function is called when its turn has come, not before: of a task that is dropped nothing is left behind.
        """
        if self._closed or self._loop.is_closed():
            self._drop(name, "nothing more is taken")
            return False
        if len(self._waiting) >= self._capacity and len(self._running) >= self._at_once:
            self._drop(name, f"{self._capacity} are waiting already")
            return False
        self._waiting.append(_Work(name, function, args, kwargs, copy_context()))
        self._start()
        return True

    async def close(self, *, within: float) -> None:
        """Take nothing more and wait until all is done, for so many seconds at most; what is not done then is dropped.

        A task that is under way then is cancelled, and waited for during `GRACE`.
        """
        self._closed = True
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(within):
                    while self._running:
                        await asyncio.wait(self._running)
        finally:
            self._cut_off()
        if self._running:
            await asyncio.wait(self._running, timeout=GRACE)
        for name in self._running.values():
            _log.error("background task %s was cancelled, but goes on", name)

    def _start(self) -> None:
        """Start what waits as far as there is room beside what is under way."""
        while self._waiting and len(self._running) < self._at_once:
            work = self._waiting.popleft()
            task = self._loop.create_task(self._run(work), name=work.name, context=work.context)
            self._running[task] = work.name
            task.add_done_callback(self._ended)

    async def _run(self, work: _Work) -> None:
        await work.function(*work.arguments, **work.keywords)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Count how it ended, and give its place to the next."""
        name = self._running.pop(task)
        # Cancelled, by closing or together with the event loop; failed, also by what was cancelled inside it; done.
        if task.cancelled() and task.cancelling():
            self._drop(name, "it was cancelled")
            self._cut_off()
        elif task.cancelled() or task.exception():
            self.failed[name] += 1
            _log.error("background task %s failed", name, exc_info=asyncio.CancelledError() if task.cancelled() else task.exception())
        else:
            self.done[name] += 1
        self._start()

    def _cut_off(self) -> None:
        """Drop what waits, and cancel what is under way and was not told yet."""
        self._closed = True
        while self._waiting:
            self._drop(self._waiting.popleft().name, "closing came first")
        for task in self._running:
            if not task.cancelling():
                task.cancel()

    def _drop(self, name: str, why: str) -> None:
        """Count a task that is not done, and say so if it is the first of its name."""
        if not self.dropped[name]:
            _log.warning("background task %s was dropped: %s; more of them will only be counted", name, why)
        self.dropped[name] += 1
