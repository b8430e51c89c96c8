"""Leases of seats, one process at a time and everything that may happen to its claims: no second is ever too full."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from limits.memory_register import Books
from limits.sending import crowded

from stripe_assets.limits.leases import GRACE, TERM, Leased, fair_shares
from stripe_assets.limits.registers import Claim, Standing
from stripe_assets.limits.seats import seating

OWNERS = st.integers(0, 3)
STEP = 0.05
LONGEST_LAG = 0.2
"""Seconds from `take` to `used`: less than what a lease leaves for it."""


@dataclass
class Sent:
    """A claim on its way to the register, and the answer on its way back."""

    number: int
    claim: Claim
    at: float
    answer: Standing | None = None


@dataclass(eq=False)
class Owner:
    """One process: its clock is ahead of the register's by `ahead` seconds. Asks for what it is told to ask."""

    owner: str
    ahead: float
    asks: int = 0
    guard: Leased = field(init=False)
    sent: Sent | None = None
    numbers: int = 0
    pending: list[tuple[int, float]] = field(default_factory=list)
    calls: int = 0

    def __post_init__(self) -> None:
        self.guard = Leased(self, "account", self.changed)

    def ask(self, guard: Leased) -> None:
        assert guard is self.guard
        self.asks += 1

    def check(self) -> None:
        """It never fails."""

    def changed(self) -> None:
        self.calls += 1


class Machines(RuleBasedStateMachine):
    """Four processes on machines whose clocks differ. Claims and answers are late, lost, and overtake each other."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.books = Books(lambda: self.now)
        self.late: list[tuple[Owner, Sent]] = []
        self.sent: list[float] = []
        self.limit = 5.0
        self.made = 0
        self.owners = [self.newcomer() for _ in range(4)]

    def newcomer(self) -> Owner:
        self.made += 1
        owner = Owner(f"owner {self.made}", ahead=(0.0, 7.0, -300.0, 1e6)[self.made % 4])
        owner.guard.resize(self.limit)
        return owner

    @initialize(limit=st.sampled_from([5.0, 2.5, 1.0, 0.5, 7.0]))
    def boot(self, limit: float) -> None:
        self.limit = limit
        for index, owner in enumerate(self.owners):
            owner.guard.resize(limit)
            self.exchange(index, wait=False)

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.1, 0.3, 0.5, 1.0, 1.9, 4.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        for owner in self.owners:
            owner.pending = [(slot, at) for slot, at in owner.pending if self.now - at <= LONGEST_LAG]

    @rule(index=OWNERS)
    def claim(self, index: int) -> None:
        """What is under way when the next claim is sent was given up, but may arrive all the same."""
        owner = self.owners[index]
        if owner.sent is not None:
            self.late.append((owner, owner.sent))
        owner.numbers += 1
        owner.sent = Sent(owner.numbers, owner.guard.claim(self.now + owner.ahead), self.now + owner.ahead)

    @rule(index=OWNERS)
    def claim_arrives(self, index: int) -> None:
        owner = self.owners[index]
        if owner.sent is not None and owner.sent.answer is None:
            owner.sent.answer = self.books.claim(owner.owner, owner.sent.number, owner.sent.claim)

    @rule(index=OWNERS)
    def answer_arrives(self, index: int) -> None:
        owner = self.owners[index]
        if owner.sent is not None and owner.sent.answer is not None:
            owner.guard.learn(owner.sent.answer, owner.sent.at)
            owner.sent = None

    @rule(index=st.integers(0, 9))
    def claim_that_was_given_up_arrives(self, index: int) -> None:
        if self.late:
            owner, sent = self.late.pop(index % len(self.late))
            self.books.claim(owner.owner, sent.number, sent.claim)

    @rule(index=OWNERS, wait=st.booleans())
    def exchange(self, index: int, wait: bool) -> None:
        """Claim as it mostly happens, sooner or later after somebody asked for a slot."""
        self.owners[index].guard.ready_at(self.now + self.owners[index].ahead)
        self.claim(index)
        self.wait(0.05 if wait else 0.0)
        self.claim_arrives(index)
        self.wait(0.05 if wait else 0.0)
        self.answer_arrives(index)

    @rule(seconds=st.sampled_from([0.5, 1.0, 2.0, 3.0]), renewing=st.sets(OWNERS), lags=st.booleans())
    def be_busy(self, seconds: float, renewing: set[int], lags: bool) -> None:
        """All send as fast as they may; some of them renew their leases meanwhile."""
        for step in range(int(seconds / STEP)):
            for index, owner in enumerate(self.owners):
                self.use(index)
                while owner.guard.ready_at(now := self.now + owner.ahead) <= now and (slot := owner.guard.take(now)) is not None:
                    owner.pending.append((slot, self.now))
                if not lags:
                    self.use(index)
                if index in renewing and step % 10 == index:
                    self.claim(index)
                    self.claim_arrives(index)
                    self.answer_arrives(index)
            self.now += STEP

    @rule(index=OWNERS)
    def use(self, index: int) -> None:
        owner = self.owners[index]
        for slot, _ in owner.pending:
            owner.guard.used(slot, self.now + owner.ahead)
            self.sent.append(self.now)
        owner.pending = []

    @rule(index=OWNERS)
    def take(self, index: int) -> None:
        owner = self.owners[index]
        if (slot := owner.guard.take(self.now + owner.ahead)) is not None:
            owner.pending.append((slot, self.now))

    @rule(index=OWNERS)
    def take_and_give_back(self, index: int) -> None:
        owner = self.owners[index]
        if (slot := owner.guard.take(self.now + owner.ahead)) is not None:
            owner.guard.give_back(slot)

    @rule(index=OWNERS)
    def close(self, index: int) -> None:
        """A process ends as it should."""
        owner = self.owners[index]
        if owner.sent is None and owner.guard.held and not owner.pending:
            self.books.claim(owner.owner, owner.numbers + 1, owner.guard.last_claim())
            self.owners[index] = self.newcomer()

    @rule(index=OWNERS)
    def kill(self, index: int) -> None:
        owner = self.owners[index]
        if owner.sent is not None:
            self.late.append((owner, owner.sent))
        self.owners[index] = self.newcomer()

    @invariant()
    def no_second_is_too_full(self) -> None:
        assert crowded(self.sent, self.limit) == []

    @invariant()
    def register_never_gives_more_than_there_is(self) -> None:
        live = [row for row in self.books.rows.values() if row.ends_at > self.now]
        assert sum(row.seats for row in live) <= seating(self.limit).seats


TestMachines = Machines.TestCase
TestMachines.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


def alone(limit: float) -> tuple[Owner, Callable[[float], None]]:
    """Give a process with all seats leased at 100.0, and what renews its lease."""
    clock = [100.0]
    books = Books(lambda: clock[0])
    owner = Owner("owner", ahead=0.0)
    owner.guard.resize(limit)

    def renew(now: float) -> None:
        clock[0] = now
        owner.numbers += 1
        owner.guard.learn(books.claim(owner.owner, owner.numbers, owner.guard.claim(now)), now)

    owner.guard.ready_at(100.0)
    renew(100.0)
    return owner, renew


def test_first_question_makes_a_claim_and_the_answer_is_told() -> None:
    """A limiter that was told "not known yet" waits for the call, and would wait for ever without it."""
    owner = Owner("owner", ahead=0.0)
    owner.guard.resize(5.0)
    assert (owner.guard.ready_at(100.0), owner.asks, owner.calls) == (float("inf"), 1, 0)
    claim = owner.guard.claim(100.0)
    assert (claim.hold, claim.want, claim.most, claim.lasts) == (5, 5, 5, pytest.approx(TERM + GRACE + seating(5.0).rest))
    owner.guard.learn(Standing(5, (), 100.0), 100.0)
    assert (owner.guard.ready_at(100.0), owner.calls) == (100.0, 1)
    assert owner.guard.take(100.0) is not None


def test_lease_that_is_not_renewed_ends() -> None:
    """Others get its seats a rest later: using them any longer would be too much."""
    owner, _ = alone(5.0)
    assert owner.guard.ready_at(100.0 + TERM - 0.001) < float("inf")
    assert owner.guard.ready_at(100.0 + TERM) == float("inf")
    assert owner.guard.take(100.0 + TERM) is None
    assert owner.asks == 2


def test_slot_that_goes_out_late_counts_from_then_on_and_one_that_never_does_not_at_all() -> None:
    """A busy event loop sends some time after it took the slot; a cancelled request sends nothing."""
    owner, _ = alone(1.0)
    slot = owner.guard.take(100.0)
    assert slot is not None
    owner.guard.give_back(slot)
    assert owner.guard.ready_at(100.0) == 100.0
    slot = owner.guard.take(100.0)
    assert slot is not None
    owner.guard.used(slot, 100.4)
    assert owner.guard.ready_at(100.5) == pytest.approx(100.4 + seating(1.0).rest)


def test_asking_costs_no_claim_while_there_are_seats() -> None:
    """A question for every request is what leases are there to spare."""
    owner, _ = alone(100.0)
    before, now = owner.asks, 100.0
    while now < 101.9:
        if (slot := owner.guard.take(now)) is not None:
            owner.guard.used(slot, now)
        now = max(now, owner.guard.ready_at(now))
    assert owner.asks == before


def test_unused_seats_are_given_back_and_had_again_when_they_are_needed() -> None:
    """Another process could use them; and a burst that follows must not wait for long."""
    owner, renew = alone(100.0)
    now = 100.0
    for step in range(1, 61):
        now = 100.0 + step / 10
        assert owner.guard.ready_at(now) == now
        if (slot := owner.guard.take(now)) is not None:
            owner.guard.used(slot, now)
        if step % 5 == 0:
            renew(now)
    assert 10 <= owner.guard.held <= 20
    asks = owner.asks
    for _ in range(40):
        owner.guard.take(now)
        now = max(now, owner.guard.ready_at(now)) if owner.asks == asks else now
    assert owner.asks > asks
    renew(now)
    assert owner.guard.held == 100


def test_idle_bucket_gives_all_back_and_asks_no_more() -> None:
    """A hundred endpoints that were used once would be renewed twice a second for ever."""
    owner, renew = alone(5.0)
    assert owner.guard.take(100.0) is not None
    now = 100.0
    while owner.guard.is_active(now):
        now += 0.5
        assert now < 110.0
        renew(now)
    assert owner.guard.held == 0


def test_lower_limit_holds_at_once_for_what_is_leased() -> None:
    """The limit may turn out lower while requests run; its seats go back only after they have rested."""
    owner, renew = alone(10.0)
    now, used = 100.0, []
    while now < 100.8:
        if (slot := owner.guard.take(now)) is not None:
            owner.guard.used(slot, now)
        now = max(now, owner.guard.ready_at(now))
    owner.guard.resize(4.0)
    assert owner.guard.claim(now).hold > 4
    while now < 101.9:
        if (slot := owner.guard.take(now)) is not None:
            owner.guard.used(slot, now)
            used.append(now)
        now = max(now, owner.guard.ready_at(now))
    assert crowded(used, 4.0) == []
    assert len(used) >= 3
    renew(101.9)
    assert owner.guard.held == 4


@pytest.mark.parametrize(
    ("wants", "seats", "shares"),
    [
        ({"a": 25, "b": 25}, 25, [12, 13]),
        ({"a": 100, "b": 3, "c": 100}, 100, [3, 48, 49]),
        ({"a": 10, "b": 20}, 100, [10, 20]),
        ({"a": 0, "b": 5}, 5, [0, 5]),
        ({"a": 7}, 5, [5]),
        ({}, 5, []),
    ],
)
def test_seats_are_divided_fairly(wants: dict[str, int], seats: int, shares: list[int]) -> None:
    assert sorted(fair_shares(wants, seats, turn=0).values()) == shares


@given(wants=st.dictionaries(st.text(max_size=3), st.integers(0, 30), max_size=8), seats=st.integers(0, 60), turn=st.integers(0, 99))
def test_all_come_to_a_division_that_gives_away_no_more_and_no_less(wants: dict[str, int], seats: int, turn: int) -> None:
    """Each process works it out for itself: what they disagree on would be lost, or fought for."""
    shares = fair_shares(wants, seats, turn=turn)
    assert shares == fair_shares(dict(reversed(wants.items())), seats, turn=turn)
    assert sum(shares.values()) == min(seats, sum(wants.values()))
    assert all(0 <= shares[owner] <= wants[owner] for owner in wants)
    short = [shares[owner] for owner in wants if shares[owner] < wants[owner]]
    assert not short or max(shares.values()) <= min(short) + 1


def test_everybody_has_a_turn_where_seats_are_fewer_than_processes() -> None:
    """A limit of one a second, and three machines: two of them would never read anything."""
    wants = {"a": 1, "b": 1, "c": 1}
    had = [owner for turn in range(20) for owner, seats in fair_shares(wants, 1, turn=turn).items() if seats]
    assert len(had) == 20
    assert set(had) == set(wants)


def test_what_cannot_be_divided_goes_to_the_same_process_in_every_bucket() -> None:
    """A seventh seat of the account is of no use to one process while another has the endpoint's seventh."""
    account = fair_shares({"a": 25, "b": 25, "c": 9, "d": 25}, 25, turn=0)
    endpoint = fair_shares({"a": 25, "b": 25, "c": 25, "d": 25}, 25, turn=3)
    assert account == endpoint


def test_its_repr_shows_its_state() -> None:
    owner, _ = alone(5.0)
    assert repr(owner.guard) == "<Leased account: 5 of 5 seats, 0 to give back, wants 5>"
