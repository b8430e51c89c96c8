"""The screen: where progress, log and results are written, and how figures are spelled."""

import logging
from datetime import timedelta

from rich.console import Console
from rich.table import Table

PLAIN_WIDTH = 110
"""Columns where no terminal says how many it has; the widest table of ours needs 100."""
MOST_SHOWN = 50
"""Accounts that are listed one by one; of more, only those of which something is missing are named."""


def errors_console() -> Console:
    """Give the console for progress and log: standard error."""
    return _console(stderr=True)


def results_console() -> Console:
    """Give the console for results: standard output."""
    return _console(stderr=False)


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False, soft_wrap=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, width=PLAIN_WIDTH)


class ConsoleLog(logging.Handler):
    """Writes the log through a console, so that a live display is not torn."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        self._console.print(self.format(record), markup=False, soft_wrap=True)


def log_to(console: Console, *, debug: bool) -> None:
    """Let warnings be seen on a console; with `debug` everything of ours."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[ConsoleLog(console)], force=True)
    logging.getLogger("stripe_assets").setLevel(logging.DEBUG if debug else logging.WARNING)


def figures_table(*headings: str, words: int = 1) -> Table:
    """Make a table whose first `words` columns are words and the rest figures."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="left" if place < words else "right", no_wrap=True)
    return table


def span(seconds: float) -> str:
    """Spell a stretch of time: 42 s, 3:07, 1:02:03, 4 days."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds >= 2 * 86_400:
        return f"{seconds / 86_400:.0f} days"
    text = str(timedelta(seconds=round(seconds)))
    return text.removeprefix("0:").removeprefix("0")


def rounded(seconds: float) -> str:
    """Spell about how long something is ago, with its unit: 42 s, 7 min, 5 h, 3 days."""
    for size, unit, most in ((1, "s", 120), (60, "min", 120), (3600, "h", 48)):
        if seconds < size * most:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"
