"""A number, and how sure it is."""

from dataclasses import dataclass
from enum import StrEnum
from math import ceil


class Sure(StrEnum):
    """How a number was come by; a sum is as sure as its least sure part."""

    COUNTED = "counted"  # every object was seen, in the mirror or on a page
    ESTIMATED = "estimated"  # from some of the objects, or from what happened before
    AT_LEAST = "at least"  # there is more, and nothing that tells how much


ORDER = tuple(Sure)
"""From the surest to the least sure."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of things, and how sure it is."""

    value: float
    sure: Sure = Sure.COUNTED

    def __add__(self, other: "Figure") -> "Figure":
        return Figure(self.value + other.value, _less_sure(self, other))

    def __mul__(self, other: "Figure | float") -> "Figure":
        factor = other if isinstance(other, Figure) else Figure(other)
        return Figure(self.value * factor.value, _less_sure(self, factor))

    def __str__(self) -> str:
        mark = {Sure.COUNTED: "", Sure.ESTIMATED: "~", Sure.AT_LEAST: "≥"}[self.sure]
        return f"{mark}{self.whole:,}"

    @property
    def whole(self) -> int:
        """The number without fractions."""
        return round(self.value)

    def pages(self, size: int) -> "Figure":
        """Give the requests for a list of so many objects: an empty list takes one too, and the last page is half full on average."""
        if self.sure is Sure.ESTIMATED:
            return Figure(max(1.0, self.value / size + 0.5), self.sure)
        return Figure(max(1, ceil(self.value / size)), self.sure)


def total(figures: "list[Figure]") -> Figure:
    """Add figures up."""
    return sum(figures, Figure(0))


def _less_sure(one: Figure, other: Figure) -> Sure:
    return max(one.sure, other.sure, key=ORDER.index)
