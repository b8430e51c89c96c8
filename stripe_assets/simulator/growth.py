"""Grows what the story does not tell of: objects like Stripe's samples, with ids, times, parents and amounts of their own.

A collection grows when it is first asked for, always to the same: it draws from a chance of its own, and names only what was there when
the account was made. What happens to it later is drawn in `whims`.
"""

from functools import partial
from typing import Any

from stripe_assets.simulator import facts, inventory, rendering, samples
from stripe_assets.simulator.books import Books
from stripe_assets.simulator.chance import Chance
from stripe_assets.simulator.connections import Connections
from stripe_assets.simulator.inventory import Collection
from stripe_assets.simulator.periods import DAY, written
from stripe_assets.simulator.shapes import KINDS
from stripe_assets.simulator.store import Fields, Record
from stripe_assets.simulator.summaries import place
from stripe_assets.simulator.variety import ADDED_UP, FIELD_OF_PARENT, PAIRED, VARIETY, may_have

KNOWN_PARENTS = 200
"""Objects of the story that others may lie under or name: the first ones of each kind."""
LONG, LONGER = 11, 250
"""Objects under the first and the second parent of an embedded list: one page and a bit, and three."""
LARGE = 40
"""Customers from which on an account has a list of `LONGER`."""
COUNTED_DAYS = 10
"""Days for which meters have sums."""

_STORY = frozenset(KINDS)
_ORDER = {each.name: place for place, each in enumerate(inventory.ALL)}


class Growth:
    """Makes objects of the inventory."""

    def __init__(self, books: Books, *, seed: int, customers: int, connections: Connections) -> None:
        self._books = books
        self._seed = seed
        self._customers = customers
        self._connections = connections
        self._known: dict[str, tuple[Record, ...]] = {}
        self._now = books.now

    def begin(self) -> None:
        """Take note of what is there, and let every collection wait until it is asked for."""
        books = self._books
        self._now = books.now
        self._known = {kind: tuple(shelf.order[:KNOWN_PARENTS]) for kind, shelf in books.store.shelves.items() if kind != "event"}
        books.store.growers = {each.name: partial(self._grow, each) for each in inventory.ALL if each.size is not None}
        books.store.growers |= {"billing.meter_event_summary": self._count, "connected_account": self._connect}
        for kind in {each.under for each in inventory.ALL if each.under in rendering.CHILDREN}:
            for record in books.store.shelf(kind).order if kind in _STORY else ():
                record.body = None  # made for an event, when nothing lay under it yet

    def add(self, name: str, fields: Fields, *events: str, parent: Record | None = None) -> Record:
        """Make one object of a collection now, with the given fields instead of invented ones."""
        each, chance = inventory.BY_NAME[name], self._books.side
        turn = chance.between(0, 1000)
        kind = fields.get("object") or inventory.objects(name)[turn % len(inventory.objects(name))]
        made = self._fields(each, kind, turn, self._books.now, chance, parent) | fields
        object_id = fields.get("id") or self._id(kind, turn, chance)
        return self._books.add(name, made, *events, object_id=object_id, under=parent.id if parent else None)

    def _grow(self, each: Collection) -> None:
        chance = Chance(f"{self._seed} {each.name}")
        if each.under is not None:
            self._grow_under(each, chance)
        else:
            self._grow_alone(each, chance)
        store = self._books.store
        self._known[each.name] = tuple(store.shelf(each.name).order)
        for record in self._known[each.name]:
            if each.name in ADDED_UP and record.under is not None:
                parent = store.present[each.under or ""][record.under]
                parent.fields[ADDED_UP[each.name]] = parent.fields.get(ADDED_UP[each.name], 0) + record.fields["amount"]
        if each.name == "v2.core.event":
            store.forget_before(each.name, self._books.events_since)

    def _grow_alone(self, each: Collection, chance: Chance) -> None:
        natural = inventory.NATURAL.get(each.name, "").split()
        for turn in range(len(natural) or (each.size.of(self._customers) if each.size else 0)):
            kind = inventory.objects(each.name)[turn % len(inventory.objects(each.name))]
            created = self._moment(each, chance)
            self._put(each, kind, natural[turn] if natural else self._id(kind, turn, chance), turn, created, chance, None)

    def _grow_under(self, each: Collection, chance: Chance) -> None:
        """Spread objects over the parents that may have some; the first lists of an embedded kind are too long to be embedded."""
        assert each.under is not None and each.size is not None
        parents = [record for record in self._records(each.under) if may_have(each.name, record)]
        natural = inventory.NATURAL.get(each.name, "").split()
        wanted = each.size.of(self._customers)
        for place_, parent in enumerate(parents if natural else parents[:wanted]):
            number = len(natural) or max(1, wanted // max(1, len(parents))) + chance.between(0, 2)
            if each.field is not None:
                number = LONG if place_ == 0 else LONGER if place_ == 1 and self._customers >= LARGE else number
            for turn in range(number + (number % 2 if each.name in PAIRED else 0)):
                kind = inventory.objects(each.name)[(turn + place_) % len(inventory.objects(each.name))]
                made = self._id(kind, turn, chance)
                created = min(self._now, parent.created + chance.between(0, 20 * DAY))
                self._put(each, kind, f"{parent.id}/{natural[turn]}" if natural else made, turn, created, chance, parent)

    def _put(self, each: Collection, kind: str, object_id: str, turn: int, created: int, chance: Chance, parent: Record | None) -> None:
        fields = self._fields(each, kind, turn, created, chance, parent) | {"id": object_id.rpartition("/")[2]}
        self._books.store.add(each.name, object_id, created, fields, parent.id if parent else None)

    def _records(self, name: str) -> tuple[Record, ...]:
        """Give the objects that others may lie under: those that were there when the account was made."""
        if name not in _STORY:
            self._books.store.shelf(name)
        return self._known.get(name, ())

    def _moment(self, each: Collection, chance: Chance) -> int:
        """Give when something was made: before the oldest event that is kept, except for what Stripe itself keeps no longer."""
        began, now = self._books.began, self._now
        if each.name == "v2.core.event":
            return chance.between(max(began, now - 29 * DAY), now)
        return chance.between(began, max(began, now - 31 * DAY))

    def _id(self, kind: str, turn: int, chance: Chance) -> str:
        prefix, letters = samples.id_form(kind)
        return f"{prefix}{turn:03}{chance.id('', max(4, letters - 3))}"

    def _fields(self, each: Collection, kind: str, turn: int, created: int, chance: Chance, parent: Record | None) -> Fields:
        form, second = facts.form(kind), kind.startswith("v2.")
        fields: Fields = {} if kind == each.name else {"object": kind}
        for field in ("created", "updated") if second else samples.times(kind):
            if field in form:
                at = created if field == "created" else created + chance.between(0, 9) * DAY
                fields[field] = written(at) if second else at
        for field, named in facts.expandable(kind).items():
            if form.get(field) is not None and not isinstance(form[field], dict | list):
                fields[field] = self._reference(each, named, form[field], chance)
        if isinstance(form.get("amount"), int):
            fields["amount"] = (1 if form["amount"] >= 0 else -1) * chance.between(1, 900) * 25
        for field in ("display_name", "email", "lookup_key", "name", "nickname"):
            if isinstance(form.get(field), str):
                fields[field] = f"{form[field]} {turn}" if field != "email" else f"someone{turn}@example.com"
        for field, values in VARIETY.get(each.name, {}).items():
            fields[field] = values[turn % len(values)]
        own = FIELD_OF_PARENT.get(each.name, each.word)
        if parent is not None and own is not None and (own in form or each.name in FIELD_OF_PARENT):
            fields[own] = parent.id
        if each.name == "financial_connections.account_owner" and parent is not None:
            fields["ownership"] = parent.fields["ownership"]
        return fields

    def _reference(self, each: Collection, named: list[str], sample: Any, chance: Chance) -> Any:
        """Give an id out of what was there before; a collection names only those that stand before it, so that none waits for itself."""
        for kind in named:
            before = kind in _STORY or (kind in _ORDER and _ORDER[kind] < _ORDER[each.name])
            if before and (records := self._records(kind)):
                return records[chance.between(0, len(records) - 1)].id
        return sample

    def _connect(self) -> None:
        store = self._books.store
        for account_id, created, fields in self._connections.shown():
            about = {
                "object": "account", "business_type": "company", "charges_enabled": True, "country": "US", "default_currency": "usd",
                "details_submitted": True, "payouts_enabled": True,
            }  # fmt: skip
            store.add("connected_account", account_id, created, {"id": account_id, "created": created, **about, **fields})
        self._known["connected_account"] = tuple(store.shelf("connected_account").order)

    def _count(self) -> None:
        """Write what meters counted for the first customers, day by day."""
        chance = Chance(f"{self._seed} billing.meter_event_summary")
        today = self._now - self._now % DAY
        for meter in self._records("billing.meter"):
            for customer in self._known.get("customer", ())[:5]:
                for turn in range(1, COUNTED_DAYS + 1 if self._books.store.get("customer", customer.id) else 0):
                    begin = today - turn * DAY
                    fields: Fields = {
                        "id": self._id("billing.meter_event_summary", turn, chance), "aggregated_value": chance.between(1, 500),
                        "meter": meter.id, "start_time": begin, "end_time": begin + DAY,
                    }  # fmt: skip
                    self._books.store.add("billing.meter_event_summary", fields["id"], begin, fields, place(meter.id, customer.id))
