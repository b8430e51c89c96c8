"""What a fact of `types.toml` says about an object's fields: which parents can have children at all.

Parsing only; the SQL that asks a table for them belongs in `warehouse`.
"""

import re
from dataclasses import dataclass

_IS = re.compile(r"([\w.]+) = (\S+)")
_THERE = re.compile(r"([\w.]+) is not null")


@dataclass(frozen=True, slots=True)
class Condition:
    """`path` (a column, and the names inside it) holds `value`, as JSON writes it without quotes; without a value: anything."""

    path: tuple[str, ...]
    value: str | None

    @property
    def column(self) -> str:
        """The column that holds it."""
        return self.path[0]


def parse(text: str) -> Condition:
    """Read `<path> = <value>` or `<path> is not null`. Raises `ValueError` for anything else."""
    if match := _IS.fullmatch(text):
        return Condition(tuple(match[1].split(".")), match[2])
    if match := _THERE.fullmatch(text):
        return Condition(tuple(match[1].split(".")), None)
    raise ValueError(f"{text!r} is neither `<field> = <value>` nor `<field> is not null`")
