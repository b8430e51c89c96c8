"""Shows how far a sync is: a display that redraws itself on a terminal, a line every other second elsewhere.

It only reads what the mirror says of itself. How a run ended is told in `report`.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from stripe_assets import allowance
from stripe_assets.commands.console import figures_table, span
from stripe_assets.sync.engine import Mirror
from stripe_assets.sync.progress import TypeProgress

REDRAW, LINE = 0.25, 2.0
"""Seconds between two pictures, and between two plain lines; a picture of 26 types costs 5 ms (2026-11)."""
WINDOW = 3.0
"""Seconds over which requests per second are counted."""
FRAME = 7
"""Lines of the display that are no types: headings, a gap, headline and limiter (two lines each where it is narrow), the cursor."""
ORDER = ("reading", "failed", "skipped", "waiting", "complete")
COLOURS = {"reading": "cyan", "complete": "green", "skipped": "yellow", "failed": "red"}


class Pace:
    """Requests per second over the last few seconds, from a counter that is looked at now and then."""

    def __init__(self, began: float) -> None:
        self._looks: deque[tuple[float, int]] = deque([(began, 0)])

    def look(self, now: float, count: int) -> float:
        """Note the counter and give the pace."""
        self._looks.append((now, count))
        while len(self._looks) > 2 and self._looks[1][0] <= now - WINDOW:
            self._looks.popleft()
        (before, had), (after, has) = self._looks[0], self._looks[-1]
        return (has - had) / (after - before) if after > before else 0.0


def time_left(types: list[TypeProgress], pace: float, endpoint_limit: float | None) -> float | None:
    """Estimate the seconds until the last request: all of them at the present pace, or one type at its endpoint's limit."""
    pages = [one.pages_left for one in types if not one.over]
    if not pages or pace <= 0:
        return None
    return max(sum(pages) / pace, max(pages) / endpoint_limit if endpoint_limit else 0.0)


class Display:
    """What is known of a running mirror, as lines and as a table."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._began = monotonic()
        self._pace = Pace(self._began)

    @property
    def under_way(self) -> bool:
        """Whether anything has been asked for."""
        return self._mirror.progress.requests > 0

    def headline(self) -> str:
        """Say in one line how the whole run is doing."""
        mirror, now = self._mirror, monotonic()
        if mirror.limiter is None:
            return f"{mirror.progress.phase} · {span(now - self._began)}"
        at = mirror.limiter.snapshot()
        pace = self._pace.look(now, at.granted)
        left = time_left(list(mirror.progress.types.values()), pace, mirror.limiter.limits.endpoint)
        parts = [
            mirror.progress.phase,
            f"{mirror.progress.rows:,} rows",
            f"{at.granted:,} requests",
            f"{pace:.0f}/s of {f'{at.rate:.0f}' if at.rate is not None else 'no limit'}",
            f"{span(now - self._began)} so far",
            *([f"about {span(left)} left"] if left is not None and left >= 1 else []),
        ]
        return " · ".join(parts)

    def limiter(self) -> str:
        """Say in one line what the limiter does."""
        return allowance.at_work(self._mirror)

    def picture(self, height: int) -> Group:
        """Draw the types, those being read first, in at most `height` lines."""
        types = sorted(self._mirror.progress.types.values(), key=lambda one: ORDER.index(one.state))
        shown = types if len(types) + FRAME <= height else types[: max(3, height - FRAME - 1)]
        table: Table = figures_table("type", "state", "rows", "requests", "pages left", words=2)
        for one in shown:
            state = "up to date" if one.state == "reading" and one.pages_left == 0 else one.state
            left = f"{one.pages_left:,.0f}" if one.state == "reading" and one.pages_left else ""
            table.add_row(one.name, Text(state, style=COLOURS.get(one.state, "dim")), f"{one.rows:,}", f"{one.requests:,}", left)
        more = [Text(f"... and {len(types) - len(shown)} more", style="dim")] if len(shown) < len(types) else []
        return Group(table, *more, Text(""), Text(self.headline(), style="bold"), Text(self.limiter(), style="dim"))


@asynccontextmanager
async def watched(mirror: Mirror, console: Console) -> AsyncIterator[None]:
    """Show a mirror's progress on a console for the length of the block."""
    display = Display(mirror)
    task = asyncio.create_task(_redraw(display, console) if console.is_terminal else _lines(display, console))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _redraw(display: Display, console: Console) -> None:
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            live.update(display.picture(console.height), refresh=True)
            await asyncio.sleep(REDRAW)


async def _lines(display: Display, console: Console) -> None:
    while True:
        await asyncio.sleep(LINE)
        if display.under_way:  # before that there is nothing to tell but an error
            line = [part for part in (display.headline(), display.limiter()) if part]
            console.print(" · ".join(line), markup=False, soft_wrap=True)
