"""How far a run is, for everyone who watches it. Nothing here decides anything."""

from dataclasses import dataclass, field
from time import monotonic


@dataclass(slots=True)
class TypeProgress:
    """One type in one run: `state` is waiting, reading, complete, skipped or failed.

    `in_part`: it failed for some objects only, and is otherwise as far as it can be.
    """

    name: str
    state: str = "waiting"
    rows: int = 0
    requests: int = 0
    pages_left: float = 1.0
    reason: str | None = None
    request_id: str | None = None
    in_part: bool = False
    spent: float = 0.0
    began: float | None = None

    @property
    def seconds(self) -> float:
        """How long requests for it have been under way or waiting."""
        return self.spent + (monotonic() - self.began if self.began is not None else 0.0)

    @property
    def over(self) -> bool:
        """Whether it has ended, one way or another; a failure in part ends nothing."""
        return self.state in ("complete", "skipped", "failed") and not self.in_part

    def begin(self) -> None:
        """Note that requests are being made; what has ended stays as it ended."""
        self.state = "reading" if self.state == "waiting" else self.state
        self.began = self.began if self.began is not None else monotonic()

    def rest(self) -> None:
        """Note that nothing more is asked for at present."""
        self.pages_left = 0.0
        self.spent, self.began = self.seconds, None

    def end(self, state: str, *, reason: str | None = None, request_id: str | None = None, in_part: bool = False) -> None:
        """Note the end, unless a worse one was noted before."""
        if self.state in ("skipped", "failed") and (in_part or not self.in_part or state == "complete"):
            return
        self.state, self.reason, self.request_id, self.in_part = state, reason, request_id, in_part
        if not in_part:
            self.rest()


@dataclass(slots=True)
class RunProgress:
    """All types of a run."""

    types: dict[str, TypeProgress] = field(default_factory=dict)
    phase: str = "starting"

    @property
    def rows(self) -> int:
        """Rows stored so far."""
        return sum(one.rows for one in self.types.values())

    @property
    def requests(self) -> int:
        """Requests made so far for types (a few more belong to the account itself)."""
        return sum(one.requests for one in self.types.values())

    @property
    def pages_left(self) -> float:
        """An estimate of the requests still to be made."""
        return sum(one.pages_left for one in self.types.values())

    def stored(self, name: str, rows: int) -> None:
        """Count rows of a type."""
        self.types[name].rows += rows
