"""The picture of a run: small, drawn from whatever a run counted, and telling what is in it."""

import random
import subprocess
import sys
from io import BytesIO

import pytest
from PIL import Image

from stripe_assets import pictures
from stripe_assets.limits.tally import STEPS, Snapshot, Tally

LARGEST = 60_000
"""Bytes: every picture is kept in Dagster's event log, as base64."""
RED, BLUE = (0xC4, 0x00, 0x1D), (0x00, 0x72, 0xB2)


def ran(*seconds: dict[str, int], throttled: dict[str, int] | None = None) -> Tally:
    """Count requests by endpoint, second by second; 429s come in the last one."""
    tally = Tally()
    for second, sent in enumerate(seconds):
        for endpoint, count in sent.items():
            for _ in range(count):
                tally.sent(endpoint, float(second), waited=0.01)
    for endpoint, count in (throttled or {}).items():
        for _ in range(count):
            tally.throttled(endpoint, len(seconds) - 0.5)
    return tally


def noise(seconds: int, endpoints: int, *, seed: int = 1) -> Tally:
    """Be as hard to compress as a run can be: nothing in one second is like the one before."""
    chance = random.Random(seed)
    names = [f"GET /v1/customers/{{customer}}/things_{number}" for number in range(endpoints)]
    tally = ran(*({name: chance.randrange(100 // endpoints + 2) for name in names} for _ in range(seconds)))
    for step in tally.steps[::2]:
        step.throttled[chance.choice(names)] += chance.randrange(5)
    return tally


def opened(png: bytes) -> Image.Image:
    """Read a picture as a browser does."""
    image = Image.open(BytesIO(png))
    assert image.format == "PNG"
    return image


def inked(png: bytes, colour: tuple[int, int, int], *, upper_part: bool = True) -> int:
    """Count the dots of nearly one colour: the file keeps 128 of them."""
    image = opened(png).convert("RGB")
    part = image.crop((0, 0, image.width, int(pictures.HIGH * pictures.DOTS))) if upper_part else image
    return sum(
        count
        for count, found in part.getcolors(1 << 20) or []
        if isinstance(found, tuple) and sum(abs(one - other) for one, other in zip(found, colour, strict=True)) < 40
    )


@pytest.mark.parametrize(("seconds", "endpoints"), [(1, 1), (40, 9), (STEPS, 30), (2 * STEPS + 5, 60)])
def test_picture_is_small_however_long_the_run(seconds: int, endpoints: int) -> None:
    png = pictures.draw(noise(seconds, endpoints), Snapshot(limit=100.0, learned_rates={"account": 61.5}))
    image = opened(png)
    assert len(png) < LARGEST
    assert (image.width, 300 < image.height < 700) == (900, True)


@pytest.mark.parametrize(
    ("tally", "at_end"),
    [
        (ran({"GET /v1/account": 1}), Snapshot()),
        (ran({"GET /v1/account": 1}), Snapshot(limit=0.5)),
        (ran({"a $name of_any^kind {": 3, "$": 2}), Snapshot(limit=100.0)),
        (ran({"GET /v1/events": 2}, throttled={"GET /v1/charges": 1}), Snapshot(limit=100.0)),
        (ran({"GET /v1/events": 2}, {}, {}, {}, {"GET /v1/events": 900}), Snapshot(limit=100.0)),
    ],
    ids=[
        "one request, no limit",
        "less than one a second",
        "odd names",
        "a 429 of who sent nothing lately",
        "a gap, and more than the limit",
    ],
)
def test_every_run_can_be_drawn(tally: Tally, at_end: Snapshot) -> None:
    assert len(pictures.draw(tally, at_end)) > 1_000


def test_paper_is_white_and_opaque() -> None:
    """On the dark page dark ink would be invisible on nothing."""
    image = opened(pictures.draw(ran({"GET /v1/events": 50}), Snapshot(limit=100.0)))
    assert "transparency" not in image.info
    assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def test_twice_the_requests_are_twice_the_area() -> None:
    """Against the same limit: it is what one compares runs by."""
    half, whole = (
        inked(pictures.draw(ran(*[{"GET /v1/events": pace}] * 10), Snapshot(limit=100.0)), BLUE, upper_part=True) for pace in (40, 80)
    )
    assert 1.9 < whole / half < 2.1


def lines_across(png: bytes) -> list[int]:
    """Find the dark rows of the upper part that are too long for a word; each with its number of dots, a broken line's fewer."""
    grey = opened(png).convert("L")
    rows = [grey.crop((0, row, grey.width, row + 1)).tobytes() for row in range(int(pictures.HIGH * pictures.DOTS))]
    dark = [sum(dot < 150 for dot in row) for row in rows]
    return [count for count, above in zip(dark, [0, *dark], strict=False) if count > 300 >= above]


def test_limit_and_what_429s_left_of_it_are_lines_across() -> None:
    tally = ran({"GET /v1/events": 1}, *[{}] * 10, {"GET /v1/events": 1})
    free, limited, learned = (
        lines_across(pictures.draw(tally, at_end))
        for at_end in (Snapshot(), Snapshot(limit=100.0), Snapshot(limit=100.0, learned_rates={"account": 71.0}))
    )
    assert (len(free), len(limited), len(learned)) == (0, 1, 2)
    assert limited[0] == max(learned) > 800 > min(learned)


def test_429s_are_marked_where_they_came() -> None:
    """A few among thousands must be seen, at their time."""
    calm = ran(*[{"GET /v1/events": 90}] * 100)
    busy = ran(*[{"GET /v1/events": 90}] * 100, throttled={"GET /v1/events": 1})
    assert inked(pictures.draw(calm, Snapshot(limit=100.0)), RED) == 0
    png = pictures.draw(busy, Snapshot(limit=100.0))
    right = opened(png).convert("RGB").crop((850, 20, 900, 60)).getcolors(1 << 20) or []
    assert inked(png, RED) > 20
    assert any(isinstance(found, tuple) and found[0] > 150 and found[1] < 90 for _, found in right)


def test_small_endpoints_are_told_as_one_and_nothing_is_lost() -> None:
    """Twenty colours cannot be told apart."""
    tally = ran(*[{f"GET /v1/{number}": 20 - number for number in range(20)}] * 3, throttled={"GET /v1/19": 4, "GET /v1/0": 1})
    found = pictures.bands(tally)
    assert [band.name for band in found] == [*(f"GET /v1/{number}" for number in range(8)), "12 others"]
    assert [band.sent for band in found] == [60, 57, 54, 51, 48, 45, 42, 39, 3 * sum(range(1, 13))]
    assert [band.throttled for band in found] == [1, 0, 0, 0, 0, 0, 0, 0, 4]
    assert found[-1].rates == [78.0, 78.0, 78.0]
    assert len({band.colour for band in found}) == 9


def test_one_endpoint_too_many_is_named_all_the_same() -> None:
    """`1 others` would take the same room and say less."""
    found = pictures.bands(ran({f"GET /v1/{number}": 20 - number for number in range(9)}))
    assert [band.name for band in found] == [f"GET /v1/{number}" for number in range(9)]


def test_rates_of_coarser_steps_are_still_per_second() -> None:
    """A run of an hour is told in steps of eight seconds: not at eight times the pace."""
    (band,) = pictures.bands(ran(*[{"GET /v1/events": 5}] * (2 * STEPS)))
    assert band.rates == [5.0] * STEPS


def test_matplotlib_is_loaded_only_for_a_picture_and_without_its_global_state() -> None:
    """It takes 31 MB (2026-11) that `stripe-assets status` has no use for; pyplot keeps every figure for ever."""
    program = (
        "import sys, stripe_assets.assets, stripe_assets.commands.sync\n"
        "loaded = lambda: sorted({'matplotlib', 'matplotlib.pyplot'} & set(sys.modules))\n"
        "print(loaded())\n"
        "from stripe_assets import pictures\n"
        "from stripe_assets.limits.tally import Snapshot, Tally\n"
        "tally = Tally(); tally.sent('GET /v1/events', 0.0, waited=0.0); pictures.draw(tally, Snapshot())\n"
        "print(loaded())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, timeout=120, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["[]", "['matplotlib']"]
