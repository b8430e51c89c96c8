"""Which parents are to be asked for children, and with what: the catalog's conditions as SQL over the parents' rows.

What is found becomes notes in `ledger`; the requests are made by `sync`.
"""

import json
from collections.abc import Mapping

import duckdb

from stripe_assets.catalog.conditions import Condition
from stripe_assets.catalog.types import ObjectType
from stripe_assets.warehouse.tables import literal, quoted

DAY = 86_400


def askable(child: ObjectType, source: str, *, account_id: str, now: float, also: Mapping[str, str | int] | None = None) -> str:
    """Write the query that finds what to ask for among the parents in `source` (a table with their columns).

    It gives `parent_id` (the parent's id, or where the type has `ids` the values that stand there) and `further`: JSON with
    the parameters that the parent and other types are asked with, and `also`. Deleted parents are not asked. `now` is in
    seconds since 1970.
    """
    assert child.parent is not None
    parent = child.parent
    mine = literal(account_id)
    asked = "p.id" if parent.ids is None else _text(tuple(parent.ids.split(".")))
    conditions = [f"p._account_id = {mine}", "p._deleted_at is null", f"{asked} is not null"]
    if parent.only is not None:
        conditions.append(_holds(parent.only))
    if parent.needs is not None:
        conditions.append(f"exists (from stripe.{quoted(parent.needs)} where _account_id = {mine} and _deleted_at is null)")
    joins, params = "", {name: literal(str(value)) for name, value in (also or {}).items()}
    for number, (name, other) in enumerate(parent.each.items()):
        joins += f" join stripe.{quoted(other)} e{number} on e{number}._account_id = p._account_id and e{number}._deleted_at is null"
        params[name] = f"e{number}.id"
    for name, column in parent.given.items():
        conditions.append(f"p.{quoted(column)} is not null")
        params[name] = f"p.{quoted(column)}"
    days, window = _window(child, now)
    conditions += days
    params |= window
    further = f"json_object({', '.join(f'{literal(name)}, {value}' for name, value in params.items())})" if params else "null::json"
    value = f"unnest({asked})" if "[*]" in (parent.ids or "") else asked
    found = f"select {value} as parent_id, {further} as further from {source} p{joins} where {' and '.join(conditions)}"
    return found if parent.ids is None else f"select distinct * from ({found}) where parent_id is not null"


def an_askable(
    connection: duckdb.DuckDBPyConnection, child: ObjectType, *, account_id: str, now: float
) -> tuple[str, dict[str, str]] | None:
    """Find one parent that can be asked: what stands in its place, and the further parameters; none where there is none."""
    assert child.parent is not None
    found = askable(child, f"stripe.{quoted(child.parent.type)}", account_id=account_id, now=now)
    row = connection.execute(f"{found} limit 1").fetchone()
    return (str(row[0]), json.loads(row[1] or "{}")) if row is not None and row[0] is not None else None


def _holds(condition: Condition) -> str:
    text = _text(condition.path)
    return f"{text} is not null" if condition.value is None else f"{text} = {literal(condition.value)}"


def _text(path: tuple[str, ...]) -> str:
    """Write the expression for a parent's field as text; `[*]` after a name stands for every element of its array."""
    column, _, every = path[0].partition("[")
    if len(path) == 1 and not every:
        return f"p.{quoted(column)}::varchar"
    return f"json_extract_string(p.{quoted(column)}, {literal('.'.join(['$' + ('[' + every if every else ''), *path[1:]]))})"


def _window(child: ObjectType, now: float) -> tuple[list[str], dict[str, str]]:
    """Give the whole days in which the parent has been there, and that there must be one: the present one is not over."""
    if child.window is None:
        return [], {}
    first, today = f"(epoch(p.created)::bigint // {DAY} * {DAY})", int(now) // DAY * DAY
    return [f"{first} < {today}"], dict(zip(child.window, (f"{first}::varchar", literal(str(today))), strict=True))
