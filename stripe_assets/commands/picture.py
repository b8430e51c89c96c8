"""Draws MRR by month in the terminal: a chart of one currency, a line of small bars for each of the others.

Pure text from figures; where they come from belongs in `marts`. Currencies are never added up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

EIGHTHS = " ▁▂▃▄▅▆▇█"
HEIGHT = 8
MOST_MONTHS = 24
COLUMN = 3
"""Characters per month: two of bar, one of gap."""


@dataclass(frozen=True, slots=True)
class Month:
    """One currency's MRR at the end of a month, in the currency itself."""

    on: date
    mrr: Decimal


def picture(series: Mapping[str, Sequence[Month]], *, decimals: Mapping[str, int], height: int = HEIGHT) -> list[str]:
    """Draw each currency's months, the first currency large. Gives lines; none without figures.

    Months must adjoin and be in order; of more than 24 the last are drawn.
    """
    shown = {currency: list(months)[-MOST_MONTHS:] for currency, months in series.items() if months}
    if not shown:
        return []
    main, *others = shown
    lines = chart(main, shown[main], decimals=decimals.get(main, 2), height=height)
    most = max(len(months) for months in shown.values())
    lasts = {currency: _amount(shown[currency][-1].mrr, decimals.get(currency, 2)) for currency in others}
    width = max((len(last) for last in lasts.values()), default=0)
    for currency, last in lasts.items():
        bars = spark([month.mrr for month in shown[currency]])
        lines.append(f"{currency.upper()}  {bars:>{most}}  {last:>{width}} in {shown[currency][-1].on:%b %Y}")
    return lines


def chart(currency: str, months: Sequence[Month], *, decimals: int, height: int = HEIGHT) -> list[str]:
    """Draw one currency's months as columns over an axis, with the scale at the left."""
    top = max(month.mrr for month in months)
    labels = [_amount(top * row / height, decimals if top < 10 else 0) for row in range(height + 1)]
    margin = max(len(label) for label in labels)
    heights = [eighths(month.mrr, top, height) for month in months]
    last = months[-1]
    lines = [f"MRR in {currency.upper()}, at each month's end: {_amount(last.mrr, decimals)} in {last.on:%B %Y}", ""]
    for row in range(height, 0, -1):
        label = labels[row] if row % 2 == 0 else ""
        cells = " ".join(EIGHTHS[min(8, max(0, tall - 8 * (row - 1)))] * 2 for tall in heights)
        lines.append(f"{label:>{margin}} ┤ {cells}".rstrip())
    lines.append(f"{_amount(Decimal(0), 0):>{margin}} ┼─" + "─" * (COLUMN * len(months) - 1))
    lines.append(" " * (margin + 3) + _axis(months))
    return [*lines, ""]


def eighths(value: Decimal, top: Decimal, height: int) -> int:
    """Give a bar's height in eighths of a line; what is above zero is never drawn as nothing."""
    if value <= 0 or top <= 0:
        return 0
    return max(1, round(value / top * height * 8))


def spark(values: Sequence[Decimal]) -> str:
    """Draw figures as one line of bars."""
    top = max(values)
    return "".join(EIGHTHS[min(8, eighths(value, top, 1))] for value in values)


def _axis(months: Sequence[Month]) -> str:
    """Name each third month, and the year where it is new."""
    line = ""
    year = None
    for place, month in enumerate(months):
        if place % 3 == 0:
            name = f"{month.on:%b}" if month.on.year == year else f"{month.on:%b %y}"
            year = month.on.year
            line = line.ljust(place * COLUMN) + name
    return line


def _amount(value: Decimal, decimals: int) -> str:
    return f"{value:,.{decimals}f}"
