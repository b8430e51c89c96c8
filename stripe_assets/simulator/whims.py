"""What happens later to what the story does not tell of: a few objects a day are made, edited or deleted, as Stripe would tell of it.

Only what a mirror can come to know: an edit without an event where lists are read again anyway, a new object where its list tells of it.
"""

from stripe_assets.simulator import facts, inventory
from stripe_assets.simulator.books import Books
from stripe_assets.simulator.growth import Growth
from stripe_assets.simulator.inventory import Collection
from stripe_assets.simulator.periods import DAY, HOUR
from stripe_assets.simulator.shapes import event_types
from stripe_assets.simulator.store import Fields, Record
from stripe_assets.simulator.variety import ADDED_UP, may_have

A_DAY = 4
"""Objects that something happens to in a day."""

_CREATED = {"review": "opened", "reporting.report_run": "succeeded"}
_STEMS = {"subscription": "customer.subscription", "dispute": "charge.dispute"}
_TOLD_ELSEWHERE = frozenset({"connected_account", "capability", "external_account", "person"})
"""Kinds whose events Stripe tells to the connected account, not to the platform."""
_TELL_OF_PARENT = {"transfer_reversal": ("transfer.reversed", "transfer.updated"), "fee_refund": ("application_fee.refunded",)}


def told(kind: str, change: str) -> tuple[str, ...]:
    """Give the event types that Stripe tells a change by: `created`, `updated` or `deleted`; some have none."""
    if kind in _TOLD_ELSEWHERE:
        return ()
    stem = _STEMS.get(kind) or inventory.EVENT_STEMS.get(kind, kind)
    names = (f"{stem}.{change}", f"{stem.replace('.', '_')}.{change}")
    return tuple(name for name in names[: 1 if names[0] == names[1] else 2] if name in event_types())


class Whims:
    """Makes, edits and deletes what the inventory holds."""

    def __init__(self, books: Books, growth: Growth) -> None:
        self._books = books
        self._growth = growth
        self._turn = 0
        self._living = [each for each in inventory.ALL if each.life]

    def begin(self) -> None:
        """Begin with the day after this one."""
        self._books.later(self._books.now + DAY - HOUR, self._day)

    def _day(self) -> None:
        books = self._books
        for _ in range(A_DAY):
            each = self._living[books.side.between(0, len(self._living) - 1)]
            self._happen(each, each.life[books.side.between(0, len(each.life) - 1)])
        books.later(books.now + DAY, self._day)

    def _happen(self, each: Collection, what: str) -> None:
        present = self._books.store.shelf(each.name).order
        if what == "c":
            self._create(each)
        elif present:
            record = present[self._books.side.between(0, len(present) - 1)]
            self._edit(record) if what == "e" else self.delete(record)

    def _create(self, each: Collection) -> None:
        if each.under is None:
            self.create(each.name, {}, None)
            return
        parents = [record for record in self._books.store.shelf(each.under).order if may_have(each.name, record)]
        if parents:
            self.create(each.name, {}, parents[self._books.side.between(0, len(parents) - 1)])

    def create(self, name: str, fields: Fields, parent: Record | None) -> Record:
        """Make an object, with its event and those of what it changes."""
        change = _CREATED.get(name, "created")
        made = self._growth.add(name, fields, *told(name, change), parent=parent)
        if parent is not None:
            self._tell_of(name, parent, made)
        return made

    def _tell_of(self, name: str, parent: Record, made: Record) -> None:
        if name in _TELL_OF_PARENT:
            field = ADDED_UP[name]
            total = parent.fields.get(field, 0) + made.fields["amount"]
            self._books.change(parent, *_TELL_OF_PARENT[name], **{field: total})
        elif name == "entitlements.active_entitlement":
            self._summarize(parent)

    def _summarize(self, customer: Record) -> None:
        summary: Fields = {"object": "entitlements.active_entitlement_summary", "customer": customer.id, "livemode": False}
        self._books.tell("entitlements.active_entitlement_summary.updated", summary, previous={"entitlements": {}})

    def _edit(self, record: Record) -> None:
        """Change what can be changed of any object: its metadata, or a name."""
        self._turn += 1
        shown = {**facts.form(facts.object_name(record)), **record.fields}
        if record.kind == "review":
            self._books.change(record, "review.closed", open=False, closed_reason="approved")
        elif "metadata" in shown:
            self.edit(record, {"metadata": {"whim": str(self._turn)}})
        else:
            named = [field for field in ("display_name", "name", "nickname", "title", "rates", "requested") if field in shown]
            if named:
                values = {"rates": {"eur": 0.9 + self._turn / 10_000}, "requested": not shown.get("requested")}
                self.edit(record, {named[0]: values.get(named[0], f"Whim {self._turn}")})

    def edit(self, record: Record, fields: Fields) -> None:
        """Change an object, with its event."""
        self._books.change(record, *told(record.kind, "updated"), **fields)

    def delete(self, record: Record) -> None:
        """Delete an object, with its event and those of what it changes."""
        self._books.remove(record, *told(record.kind, "deleted"))
        if record.kind == "entitlements.active_entitlement" and record.under is not None:
            customer = self._books.store.get("customer", record.under)
            if customer is not None:
                self._summarize(customer)
