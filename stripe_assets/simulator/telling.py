"""What Stripe does not promise of events and lists: that a change is told once, in order, in today's shape, and at once."""

import zlib
from dataclasses import dataclass

import orjson

from stripe_assets.simulator.store import Fields, Record

_SAME_IN_ALL_VERSIONS = frozenset({"id", "object", "created", "deleted", "livemode"})


@dataclass(slots=True)
class Telling:
    """How changes are told from now on.

    `twice`: each by two events; `backwards`: within a second the later event stands where the earlier one should; `version`: in the
    shape of that API version, not of the pinned one; `late`: what was just written is in no list yet, for up to so many seconds,
    each object for a time of its own.
    """

    twice: bool = False
    backwards: bool = False
    version: str | None = None
    late: int = 0

    def shown(self, body: bytes) -> bytes:
        """Give what an event shows of an object: in another version every field is something else."""
        if self.version is None:
            return body
        fields: Fields = orjson.loads(body)
        return orjson.dumps({name: value if name in _SAME_IN_ALL_VERSIONS else {"as_of": self.version} for name, value in fields.items()})

    def is_visible(self, record: Record, now: int) -> bool:
        """Say whether lists show an object at `now` (unix seconds)."""
        return record.created + zlib.crc32(record.id.encode()) % (self.late + 1) <= now
