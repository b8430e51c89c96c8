"""How the values of a column get into another type, and how it is known that none is lost by that.

A conversion counts only if it can be taken back to the very same value. When columns are converted is decided in
`migrations`.
"""

TIMESTAMP = "timestamp with time zone"
"""DuckDB's own name of `timestamptz`."""
MOMENT = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d(:?\d\d)?)"
"""What a time written as text looks like (RFC 3339, and as DuckDB writes it): with an offset, to the microsecond at most."""

FARTHEST = 9_000_000_000_000
"""Seconds before and after 1970 that DuckDB can tell as a time, 285,000 years."""


def named(definition: str) -> str:
    """Give DuckDB's own name of the type in a column's definition, in small letters."""
    word = definition.split()[0]
    return TIMESTAMP if word == "timestamptz" else word


def converted(value: str, old: str, new: str) -> str:
    """Write the expression that turns a value of type `old` into type `new`, NULL where that is not possible."""
    match old, new:
        case ("json", "varchar"):
            return f"case json_type({value}) when 'VARCHAR' then json_extract_string({value}, '$') else cast({value} as varchar) end"
        case (_, "json"):
            return f"to_json({converted(value, old, 'bigint') if old == TIMESTAMP else value})"
        case ("json", other) if other == TIMESTAMP:
            return converted(converted(value, "json", "bigint"), "bigint", TIMESTAMP)
        case ("bigint", other) if other == TIMESTAMP:
            return f"case when {value} between -{FARTHEST} and {FARTHEST} then make_timestamptz({value} * 1000000) end"
        case (other, "bigint") if other == TIMESTAMP:
            return f"epoch_us({value}) // 1000000"
        case ("varchar", other) if other == TIMESTAMP:
            return f"case when {is_moment(value)} then try_cast({value} as timestamptz) end"
        case _:
            return f"try_cast({value} as {new})"


def is_lossless(value: str, old: str, new: str) -> str:
    """Write the condition that a value survives the conversion."""
    there = converted(value, old, new)
    if (old, new) == ("varchar", TIMESTAMP):
        return f"{there} is not null"  # the moment is the value, however it was written
    return f"{converted(there, new, old)} is not distinct from {value}"


def is_moment(value: str) -> str:
    """Write the condition that a text is a time."""
    return f"regexp_full_match({value}, '{MOMENT}')"
