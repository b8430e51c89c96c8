"""The slots of one account for processes on several machines: asks a server's register for leases of seats, for all buckets at once.

It asks twice a second, and when somebody waits for what is not leased yet, in a thread of its own. What to ask for, and why no limit is
exceeded, belongs in `leases`; what the server does in `registers`.
"""

import asyncio
import logging
import os
import random
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from uuid import uuid4

from stripe_assets.errors import ConfigurationError
from stripe_assets.limits.leases import RENEWAL, TERM, Leased
from stripe_assets.limits.registers import Register, Standing, Unreachable

BACK_OFF, QUICK_BACK_OFF, LONGEST_BACK_OFF = 0.1, 0.25, 2.0
"""Seconds until a server that did not answer is asked again: doubled each time, and by chance up to half shorter. They stay
quick while leases may still be in force: the last one may be half a second old when a server fails, so one that is back after
1.2 seconds must be found before its two are over."""
PATIENCE = 30.0
"""Seconds after which a server that does not answer ends the sync."""

log = logging.getLogger(__name__)


class SharedServer:
    """The buckets of one account in one server's register, for one event loop.

    Asks one question at a time: what becomes due meanwhile goes with the next.
    """

    def __init__(self, register: Register) -> None:
        """Divide what `register` has with everybody else who uses it."""
        self.owner = f"{socket.gethostname()} {os.getpid()} {uuid4().hex[:8]}"
        self._register = register
        self._numbers = count()
        self._guards: dict[str, Leased] = {}
        self._due: dict[Leased, None] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="leases")
        self._is_asking = False
        self._timer: asyncio.TimerHandle | None = None
        self._silent_since: float | None = None
        self._back_off = BACK_OFF
        self._failure: BaseException | None = None
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<SharedServer {self._register.address.shown}, {list(self._guards.values())}>"

    def guard(self, name: str, limit: float, on_change: Callable[[], None]) -> "Leased":
        """Give the guard of one bucket, `limit` in slots per second; the same one, if the limit has changed."""
        guard = self._guards.get(name)
        if guard is None:
            guard = self._guards[name] = Leased(self, name, on_change)
        guard.resize(limit)
        return guard

    def close(self) -> None:
        """End all leases as soon as their seats have rested, so that nobody waits for them."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._silent_since is None and (claims := [guard.last_claim() for guard in self._guards.values() if guard.held]):
            self._thread.submit(self._register.claim, self.owner, next(self._numbers), claims)
        self._thread.submit(self._register.close)
        self._thread.shutdown()

    def ask(self, guard: "Leased") -> None:
        """Claim for a bucket, now or together with what is asked next."""
        self._due[guard] = None
        if not self._is_asking and self._silent_since is None and not self._is_closed:
            self._claim()

    def check(self) -> None:
        """Raise what makes it pointless to wait."""
        if self._failure is not None:
            raise self._failure

    def _claim(self) -> None:
        """Ask for all that is due, in the thread."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        guards = list(self._due)
        self._due.clear()
        self._is_asking = True
        claims = [guard.claim(now) for guard in guards]
        answer = loop.run_in_executor(self._thread, self._register.claim, self.owner, next(self._numbers), claims)
        answer.add_done_callback(lambda answer: self._answered(answer, guards, now))

    def _answered(self, answer: "asyncio.Future[list[Standing]]", guards: list["Leased"], asked_at: float) -> None:
        if self._is_closed or answer.cancelled():
            return
        error = answer.exception()
        if error is None:
            if self._silent_since is not None:
                log.info("%s answers again", self._register.address.shown)
            self._silent_since, self._back_off = None, BACK_OFF
            for guard, standing in zip(guards, answer.result(), strict=True):
                guard.learn(standing, asked_at)
        elif isinstance(error, Unreachable):
            self._due.update(dict.fromkeys(guards))
            self._unanswered(error, asked_at)
        else:
            self._fail(error)
        self._is_asking = False  # not before all have learnt: what one of them asks now must not overtake what another has yet to hear
        self._plan()

    def _unanswered(self, error: Unreachable, asked_at: float) -> None:
        """Be patient with a server that does not answer, for a while."""
        shown = self._register.address.shown
        if self._silent_since is None:
            self._silent_since = asked_at
            log.warning("%s does not answer, slots stop in a moment: it is asked again (%s)", shown, error)
        silence = asyncio.get_running_loop().time() - self._silent_since
        if silence > PATIENCE:
            advice = "start it, or keep the limit on this machine alone ('local')"
            failure = ConfigurationError(f"{shown} has not answered for {silence:.0f} seconds ({error}): {advice}")
            failure.__cause__ = error
            self._fail(failure)

    def _fail(self, failure: BaseException) -> None:
        """Let everybody who waits know: they ask again, and are told."""
        self._failure = failure
        for guard in self._guards.values():
            guard.on_change()

    def _plan(self) -> None:
        """Ask for what has become due meanwhile, and set the timer for the next claim of all."""
        loop = asyncio.get_running_loop()
        if self._failure is not None:
            return
        if self._silent_since is not None:
            self._set_timer(self._back_off * random.uniform(0.5, 1))
            lasting = loop.time() - self._silent_since < TERM
            self._back_off = min(2 * self._back_off, QUICK_BACK_OFF if lasting else LONGEST_BACK_OFF)
            return
        if self._timer is None and any(guard.is_active(loop.time()) for guard in self._guards.values()):
            self._set_timer(RENEWAL)
        if self._due:
            self._claim()

    def _set_timer(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._renew)

    def _renew(self) -> None:
        """Claim for every bucket in which seats are held or wanted."""
        self._timer = None
        now = asyncio.get_running_loop().time()
        self._due.update(dict.fromkeys(guard for guard in self._guards.values() if guard.is_active(now)))
        if self._due and not self._is_asking:
            self._claim()
