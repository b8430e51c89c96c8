"""Calendar arithmetic of billing, in UTC unix seconds."""

import calendar
from datetime import UTC, datetime
from fractions import Fraction

DAY = 86_400
HOUR = 3_600

_MONTHS = {"month": 1, "year": 12}
_SECONDS = {"day": DAY, "week": 7 * DAY}
_PER_MONTH = {"day": Fraction(365, 12), "week": Fraction(52, 12), "month": Fraction(1), "year": Fraction(1, 12)}


def after(anchor: int, interval: str, count: int) -> int:
    """Give the time `count` intervals after `anchor`; a day that the month lacks becomes its last."""
    if interval in _SECONDS:
        return anchor + _SECONDS[interval] * count
    at = datetime.fromtimestamp(anchor, UTC)
    months = at.year * 12 + at.month - 1 + _MONTHS[interval] * count
    year, month = divmod(months, 12)
    day = min(at.day, calendar.monthrange(year, month + 1)[1])
    return int(at.replace(year=year, month=month + 1, day=day).timestamp())


def per_month(interval: str, count: int) -> Fraction:
    """Give how often a month holds `count` intervals: year 1/12, week 52/12."""
    return _PER_MONTH[interval] / count


def midnight(at: int) -> int:
    """Give the first second of the UTC day of `at`."""
    return at - at % DAY


def month_ends(since: int, until: int) -> list[int]:
    """Give the first second of every UTC month in `since < t <= until`."""
    start = datetime.fromtimestamp(since, UTC).replace(day=1, hour=0, minute=0, second=0)
    first = int(start.timestamp())
    ends = []
    turn = 1
    while (end := after(first, "month", turn)) <= until:
        ends.append(end)
        turn += 1
    return ends


def written(at: int) -> str:
    """Give a moment as version 2 writes it."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def day_name(at: int) -> str:
    """Give the UTC date of `at` as ISO text."""
    return datetime.fromtimestamp(at, UTC).date().isoformat()
