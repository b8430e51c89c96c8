"""What an examination finds: what is well and what is not, each with how to mend it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from rich.console import Console
from rich.text import Text


class Level(StrEnum):
    """How a thing stands: `wrong` keeps something from working, a `warning` may."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


COLOURS = {Level.OK: "green", Level.WARNING: "yellow", Level.WRONG: "bold red"}
WIDEST = len(Level.WARNING)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: `area` is where it belongs, `mend` what to do about it; `status` the exit status if it is wrong."""

    area: str
    level: Level
    what: str
    mend: str | None = None
    status: int = 0


def ok(area: str, what: str) -> Finding:
    """Say that something is well."""
    return Finding(area, Level.OK, what)


def warning(area: str, what: str, mend: str | None = None) -> Finding:
    """Say what may keep something from working."""
    return Finding(area, Level.WARNING, what, mend)


def wrong(area: str, what: str, mend: str | None = None, *, status: int) -> Finding:
    """Say what keeps something from working."""
    return Finding(area, Level.WRONG, what, mend, status)


def show(findings: Sequence[Finding], out: Console) -> None:
    """Print a line for each finding, and below it how to mend it."""
    widest = max((len(one.area) for one in findings), default=0)
    for one in findings:
        level = Text(f"{one.level:<{WIDEST}}", style=COLOURS[one.level])
        out.print(Text.assemble(level, f"  {one.area:<{widest}}  {one.what}"), soft_wrap=True)
        if one.mend is not None:
            out.print(Text(f"{'':<{WIDEST}}  {'':<{widest}}    {one.mend}"), soft_wrap=True)


def first_status(findings: Sequence[Finding], order: Sequence[int]) -> int:
    """Give the exit status: of those of the wrong findings the one that stands first in `order`, 0 if nothing is wrong."""
    found = {one.status for one in findings if one.level is Level.WRONG}
    return next((status for status in order if status in found), 0)
