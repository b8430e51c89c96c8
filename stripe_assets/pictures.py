"""Draws how a run used its allowance: requests per second against the limit, and what each endpoint took of it.

Out comes a PNG, for Dagster's page; where it is shown is decided in `assets`, what is counted in `limits/tally`. matplotlib
is imported when something is drawn, and without `pyplot`, whose state is global.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from stripe_assets import allowance
from stripe_assets.limits.tally import Snapshot, Tally

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#56b4e9", "#cc79a7", "#d55e00", "#8c6bb1", "#b8a800")
"""Okabe and Ito's, which people with any colour vision tell apart, with two of our own for their black and bright yellow."""
REST, INK, GRID, REFUSED, PAPER = "#a0a4ab", "#22262e", "#d9dce1", "#c4001d", "#ffffff"
"""What is left, text and lines, the grid, 429s, and white paper: the page may be light or dark."""
WIDE, HIGH, BAR, DOTS = 9.0, 3.2, 0.26, 100
"""Inches: the whole width, the height of the upper part, and of each bar of the lower one; and dots in each."""
COLOURS_KEPT = 128
"""Colours of the file. With all of them ten minutes of noise take 137 kB, with these 44 (2026-11)."""
UNITS = ((3 * 3600, 3600, "hours"), (180, 60, "minutes"), (0, 1, "seconds"))
"""From how many seconds on the time is told in which unit."""


@dataclass(frozen=True, slots=True)
class Band:
    """One endpoint, or all small ones as one: requests per second in each step, and the sums of requests and 429s."""

    name: str
    rates: list[float]
    sent: int
    throttled: int
    colour: str


def bands(tally: Tally) -> list[Band]:
    """Give the endpoints that took most, largest first, and the rest as the last one."""
    taken = allowance.by_endpoint(tally)
    names = list(taken)
    largest = names if len(names) <= len(COLOURS) + 1 else names[: len(COLOURS)]
    colours = (*COLOURS, REST)
    groups = [(name, [name], colour) for name, colour in zip(largest, colours, strict=False)]
    if rest := names[len(largest) :]:
        groups.append((f"{len(rest)} others", rest, REST))
    return [
        Band(
            name,
            rates=[sum(step.sent[each] for each in endpoints) / tally.seconds for step in tally.steps],
            sent=sum(taken[each][0] for each in endpoints),
            throttled=sum(taken[each][1] for each in endpoints),
            colour=colour,
        )
        for name, endpoints, colour in groups
    ]


def draw(tally: Tally, at_end: Snapshot) -> bytes:
    """Draw a run from its tally and the snapshot at its end, as a PNG of less than 60 kB.

    Raises whatever the drawing raises: a run must not fail by it.
    """
    from matplotlib.figure import Figure
    from PIL import Image

    found = bands(tally)
    low = BAR * (1 + len(found))
    figure = Figure(figsize=(WIDE, HIGH + low), dpi=DOTS, facecolor=PAPER, layout="constrained")
    grid = figure.add_gridspec(2, 1, height_ratios=(HIGH, low))
    above, below = (figure.add_subfigure(part).subplots() for part in (grid[0], grid[1]))  # each with its own margins
    for axes in (above, below):
        _plain(axes)
    _draw_rates(above, tally, found, at_end)
    _draw_endpoints(below, found)
    drawn, small = BytesIO(), BytesIO()
    figure.savefig(drawn, format="png")
    Image.open(drawn).convert("RGB").quantize(COLOURS_KEPT, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    return small.getvalue()


def _plain(axes: "Axes") -> None:
    """Leave only what is read."""
    axes.set_facecolor(PAPER)
    axes.tick_params(colors=INK, labelsize=9, length=0)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GRID)


def _draw_rates(axes: "Axes", tally: Tally, found: Sequence[Band], at_end: Snapshot) -> None:
    """Draw what was sent in each step, one endpoint upon the other, under the limit."""
    from matplotlib.ticker import MaxNLocator

    lasted = len(tally.steps) * tally.seconds
    _, seconds, unit = next(each for each in UNITS if lasted >= each[0])
    edges = [index * tally.seconds / seconds for index in range(len(tally.steps) + 1)]
    stacked = [[*band.rates, band.rates[-1]] for band in found]
    axes.stackplot(edges, stacked, colors=[band.colour for band in found], step="post", linewidth=0)
    totals = [sum(rates) for rates in zip(*stacked, strict=True)]
    top = max(at_end.limit or 0.0, *totals)
    _draw_level(axes, at_end.limit, "limit", "-")
    _draw_level(axes, at_end.learned_rates.get("account"), "allowed at the end, after 429s", "--")
    if refused := [index for index, step in enumerate(tally.steps) if step.throttled]:
        middles = [(edges[index] + edges[index + 1]) / 2 for index in refused]
        axes.scatter(middles, [1.13 * top] * len(middles), marker="x", s=16, color=REFUSED, linewidth=1.2)
        count = sum(band.throttled for band in found)
        axes.text(
            1, 1.02, f"\N{MULTIPLICATION SIGN} {count:,} answers were 429", color=REFUSED, ha="right", fontsize=9, transform=axes.transAxes
        )
    axes.set_xlim(0, edges[-1])
    axes.set_ylim(0, 1.18 * top)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
    axes.set_xlabel(unit, color=INK, fontsize=9)
    axes.set_title("requests per second", loc="left", color=INK, fontsize=11)
    axes.grid(axis="y", color=GRID, linewidth=0.8)


def _draw_level(axes: "Axes", level: float | None, what: str, style: str) -> None:
    if level is not None:
        axes.axhline(level, color=INK, linewidth=1.2, linestyle=style, zorder=3)
        on_paper = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 1}
        words, beside = f"{what}: {level:.3g}", (4, 4)
        axes.annotate(words, (0, level), xytext=beside, textcoords="offset points", color=INK, fontsize=9, bbox=on_paper, zorder=5)


def _draw_endpoints(axes: "Axes", found: Sequence[Band]) -> None:
    """Draw what each endpoint took, the largest on top; its colour is the one that it has above."""
    total, most = sum(band.sent for band in found), max(band.sent for band in found)
    axes.barh([band.name for band in found], [band.sent for band in found], color=[band.colour for band in found], height=0.72)
    for place, band in enumerate(found):
        refused = f", {band.throttled:,} were 429" if band.throttled else ""
        axes.annotate(
            f"{band.sent:,} ({band.sent / total:.0%}{refused})",
            (band.sent, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            color=INK,
            fontsize=9,
        )
    axes.invert_yaxis()
    axes.set_xlim(0, 1.35 * most)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.set_title("requests by endpoint", loc="left", color=INK, fontsize=11)
