"""The account's books: the clock, the agenda of what is to come, and every write with the events it leaves.

What happens, and when, is told in the story modules; nothing outside this file changes an object.
"""

import heapq
import threading
import time
from collections.abc import Callable
from typing import Any

import orjson

from stripe_assets.simulator import inventory, rendering, samples
from stripe_assets.simulator.chance import Chance
from stripe_assets.simulator.periods import DAY
from stripe_assets.simulator.store import Fields, Record, Store
from stripe_assets.simulator.telling import Telling
from stripe_assets.simulator.truth import Truth

API_VERSION = "2026-05-27.dahlia"
RETENTION = 30 * DAY
"""Events older than this are gone, as at Stripe."""

_FORM = {
    "account": ("acct_", 16), "customer": ("cus_", 14), "product": ("prod_", 14), "price": ("price_", 24), "coupon": ("", 8),
    "promotion_code": ("promo_", 24), "subscription": ("sub_", 24), "subscription_item": ("si_", 14), "invoice": ("in_", 24),
    "line_item": ("il_", 24), "invoiceitem": ("ii_", 24), "charge": ("ch_", 24), "payment_intent": ("pi_", 24),
    "setup_intent": ("seti_", 24), "refund": ("re_", 24), "dispute": ("du_", 24), "balance_transaction": ("txn_", 24),
    "payout": ("po_", 24), "transfer": ("tr_", 24), "credit_note": ("cn_", 24), "tax_rate": ("txr_", 24),
    "checkout.session": ("cs_test_", 58), "event": ("evt_", 24), "payment_method": ("pm_", 24), "application_fee": ("fee_", 24),
    "topup": ("tu_", 24), "discount": ("di_", 24),
}  # fmt: skip

_UNDATED = frozenset({"line_item", "invoiceitem", "discount"})
"""Kinds that have no field `created`."""

SUMS = "billing.meter_event_summary"
"""What lies under two parents at once."""

_TURNS = 16
"""Agenda entries (about 0.1 ms each) between two moments in which a waiting reader surely gets the lock."""

_TELLS_PREVIOUS = (".updated", ".refunded")


class Books:
    """State of one account at `now`."""

    def __init__(self, *, seed: int, began: int, events_since: int) -> None:
        self.now = self.began = began
        self.store = Store()
        self.chance = Chance(seed)
        self.side = Chance(f"{seed} beside")
        """Chance for what happens beside the story, which must not change what the story draws."""
        self.truth = Truth(began)
        self.lock = threading.RLock()
        self.events_since = events_since
        self.telling = Telling()
        self.paid_by: dict[str, Record] = {}
        """The payment intent of each invoice."""
        self.invoice_of: dict[str, Record] = {}
        """The invoice of each payment intent."""
        self._agenda: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._entries = 0

    def later(self, at: int, act: Callable[..., None], *about: Any) -> None:
        """Put something on the agenda; what is due in the past happens next."""
        self._entries += 1
        heapq.heappush(self._agenda, (max(at, self.now), self._entries, act, about))

    def run(self, until: int) -> None:
        """Let time pass. The lock is held for one entry at a time, so that readers get in between."""
        turn = 0
        while self._agenda and self._agenda[0][0] <= until:
            turn += 1
            if turn % _TURNS == 0:
                time.sleep(0)
            with self.lock:
                at, _, act, about = heapq.heappop(self._agenda)
                self.now = at
                act(*about)
        with self.lock:
            self.now = self.truth.now = max(until, self.now)
            self.events_since = max(self.events_since, self.now - RETENTION)
            for kind in ("event", "v2.core.event"):
                if kind not in self.store.growers:
                    self.store.forget_before(kind, self.events_since)

    def new_id(self, kind: str) -> str:
        """Give an id for a new object."""
        return self.chance.id(*_FORM[kind]) if kind not in inventory.BY_NAME else self.side.id(*samples.id_form(inventory.objects(kind)[0]))

    def add(self, kind: str, fields: Fields, *events: str, object_id: str | None = None, under: str | None = None) -> Record:
        """Create an object now, and tell each of `events` about it."""
        object_id = object_id or self.new_id(kind)
        fields = {"id": object_id, "created": self.now, **fields}
        if kind in _UNDATED or (kind in inventory.BY_NAME and "created" not in samples.form(fields.get("object", kind))):
            del fields["created"]
        if fields.get("test_clock") or (kind == "payment_method" and fields.get("type") == "custom"):
            self.store.hiding.add(kind)
        record = self.store.add(kind, object_id, self.now, fields, under)
        if under is not None:
            self._touch_parent(record)
        for event in events:
            self.tell(event, record)
        return record

    def change(self, record: Record, *events: str, also: Fields | None = None, **fields: Any) -> None:
        """Change fields, and tell; `.updated` events name what was there before. `also` adds to those previous values."""
        before = {name: record.fields.get(name) for name, value in fields.items() if record.fields.get(name) != value}
        if not before and not also:
            return
        was = rendering.body(self.store, record) if self._telling and any(name not in record.fields for name in before) else None
        record.fields.update(fields)
        self.touch(record)
        if not self._telling:
            return
        if was is not None:
            whole = orjson.loads(was)
            before = {name: whole.get(name) for name in before}
        for event in events:
            self.tell(event, record, previous={**before, **(also or {})} if event.endswith(_TELLS_PREVIOUS) else None)

    def remove(self, record: Record, *events: str) -> None:
        """Delete an object, and tell with what it was; what lies under it goes without a word."""
        for event in events:
            self.tell(event, record)
        for each in inventory.below(record.kind):
            for child in list(self.store.shelf(each.name).under(record.id)):
                self.remove(child)
        if record.kind == "customer" and SUMS not in self.store.growers:
            for place in [each for each in self.store.shelf(SUMS).parents if each.endswith(f"/{record.id}")]:
                for child in list(self.store.shelf(SUMS).under(place)):
                    self.store.remove(child, self.now)
        self.store.remove(record, self.now)
        if record.under is not None:
            self._touch_parent(record)

    def touch(self, record: Record) -> None:
        """Let an object's bytes, and those of every object that embeds it whole, be made again."""
        record.body = None
        if record.under is not None:
            self._touch_parent(record)
        for holder, fields in rendering.WHOLE.items():
            for field, kind in fields:
                if kind == record.kind and kind != "balance_transaction":
                    for each in self.store.each(holder):
                        if record.id in (each.fields.get(field) or ()):
                            self.touch(each)

    def _touch_parent(self, record: Record) -> None:
        for kind, (_, child, _) in rendering.CHILDREN.items():
            if child == record.kind and record.under is not None:
                parent = self.store.get(kind, record.under)
                if parent is not None:
                    parent.body = None

    @property
    def _telling(self) -> bool:
        return self.now >= self.events_since

    def tell(self, event: str, about: Record | Fields, *, previous: Fields | None = None) -> None:
        """Leave an event about an object as it is now, unless it would be too old to be kept; two where all is told twice."""
        if not self._telling:
            return
        body = rendering.body(self.store, about) if isinstance(about, Record) else orjson.dumps(about)
        snapshot = orjson.Fragment(self.telling.shown(body))
        told: Fields = {"object": snapshot}
        if previous is not None:
            told["previous_attributes"] = previous
        beside = not isinstance(about, Record) or about.kind in inventory.BY_NAME
        object_id = (self.side if beside else self.chance).id(*_FORM["event"])
        fields = {
            "created": self.now, "api_version": self.telling.version or API_VERSION, "data": told, "type": event, "pending_webhooks": 0,
            "request": {"id": None, "idempotency_key": None},
        }  # fmt: skip
        for name in (object_id, self.side.id(*_FORM["event"])) if self.telling.twice else (object_id,):
            self.store.add("event", name, self.now, {"id": name, **fields}, backwards=self.telling.backwards)
