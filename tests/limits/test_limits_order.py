"""The order of those who wait, against the simplest thing that is right: looking at everybody, each time."""

from collections import defaultdict

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from stripe_assets.limits.bucket import RateBucket
from stripe_assets.limits.crowd import Crowd
from stripe_assets.limits.guard import InProcess
from stripe_assets.limits.order import PATIENCE, Line, Order, Waiter
from stripe_assets.limits.priority import Priority

LIMITS = [None, 1.0, 3.0, 7.5]
MOST = 2
"""Requests under way at once, for each endpoint."""


class Scheduling(RuleBasedStateMachine):
    """Requests come, go away, are granted and end, while time passes in steps from a moment to many seconds."""

    waiting: Bundle[Waiter] = Bundle("waiting")
    under_way: Bundle[Waiter] = Bundle("under_way")

    @initialize(limits=st.lists(st.sampled_from(LIMITS), min_size=1, max_size=4))
    def begin(self, limits: list[float | None]) -> None:
        self.now = 0.0
        self.order = Order()
        self.lines = [
            Line(str(at), RateBucket(str(at), limit, InProcess().guard(str(at), limit, lambda: None)) if limit else None, Crowd(MOST))
            for at, limit in enumerate(limits)
        ]
        self.there: list[Waiter] = []  # by arrival
        self.sent: dict[Line, list[float]] = defaultdict(list)

    @rule(target=waiting, line=st.integers(0, 3), priority=st.sampled_from(Priority))
    def come(self, line: int, priority: Priority) -> Waiter:
        waiter = Waiter(self.lines[line % len(self.lines)], priority)
        self.order.add(waiter, self.now)
        self.there.append(waiter)
        return waiter

    @rule(waiter=waiting)
    def go_away(self, waiter: Waiter) -> None:
        if waiter in self.there:
            self.there.remove(waiter)
            self.order.remove(waiter, self.now)

    @rule(seconds=st.sampled_from([0.001, 0.1, 0.34, 1.01, PATIENCE, 17.0]))
    def let_time_pass(self, seconds: float) -> None:
        self.now += seconds

    @rule(line=st.integers(0, 3), requests=st.sampled_from([0.0, 1.0, 50.0, float("inf")]))
    def learn_how_much_is_left(self, line: int, requests: float) -> None:
        here = self.lines[line % len(self.lines)]
        here.work_left = requests
        self.order.rank(here, self.now)

    @precondition(lambda self: self.there)
    @rule(target=under_way, given_back=st.booleans())
    def grant(self, given_back: bool) -> Waiter:
        """Whoever is granted must be the one that looking at everybody finds."""
        expected = min(filter(self.has_room, self.there), key=self.rank, default=None)
        line = self.order.best(self.now)
        assert (line and line.first) is expected
        if line is None or expected is None:
            return Waiter(self.lines[0], Priority.LEAF)
        if line.bucket is not None:
            slot = line.bucket.take(self.now)
            assert slot is not None
            if given_back:
                line.bucket.give_back(slot, self.now)
                return Waiter(self.lines[0], Priority.LEAF)
            line.bucket.used(slot, self.now)
            self.sent[line].append(self.now)
        expected.granted = True
        line.crowd.under_way += 1
        self.order.remove(expected, self.now)
        self.there.remove(expected)
        return expected

    @rule(waiter=consumes(under_way))
    def end(self, waiter: Waiter) -> None:
        if waiter.granted:
            waiter.line.crowd.under_way -= 1
            if waiter.line.set_aside:
                self.order.room_again(waiter.line, self.now)

    @invariant()
    def nobody_is_forgotten_and_no_second_too_full(self) -> None:
        if hasattr(self, "order"):
            assert self.order.length == len(self.there)
            assert set(self.order.lines) == {waiter.line for waiter in self.there}
            for line, times in self.sent.items():
                assert line.bucket is not None
                most = -int(-line.bucket.limit // 1)
                assert all(late - early > most / line.bucket.limit for early, late in zip(times, times[most:], strict=False))

    def has_room(self, waiter: Waiter) -> bool:
        line = waiter.line
        return line.crowd.under_way < MOST and (line.bucket is None or line.bucket.ready_at(self.now) <= self.now)

    def rank(self, waiter: Waiter) -> tuple[float, float, int]:
        return waiter.priority - (self.now - waiter.since) // PATIENCE, -waiter.line.work_left, self.there.index(waiter)


Scheduling.TestCase.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
TestScheduling = Scheduling.TestCase
