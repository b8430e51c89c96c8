"""What follows from the facts and Stripe's description by rules: names, event types, paths, and what nobody accounts for.

Works on both as they are read from their files; the types made of them are in `types`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Described = Mapping[str, Any]

_PLACEHOLDER = re.compile(r"\{[^}]*\}")


def endpoints(api: Described) -> dict[str, Described]:
    """Give what the description says about every list and every single object, by path."""
    return {entry["path"]: entry for entry in (*api["lists"], *api["singles"])}


def type_name(path: str, by: str | None = None) -> str:
    """Name a type by its path: `/v1/invoices/{invoice}/lines` is `invoice_lines`.

    `by` is the parameter that makes another type of the same list: balance transactions by `payout`.
    """
    words: list[str] = [by] if by else []
    for word in path.removesuffix("/find").split("/")[2:]:
        if word.startswith("{"):
            words[-1] = words[-1].removesuffix("s")
        else:
            words += word.split("_")
    return "_".join(words)


def events_of(patterns: Iterable[str], event_types: Sequence[str]) -> tuple[str, ...]:
    """Give the event types that match; `*` stands for one word. Raises `ValueError` for a pattern that matches none."""
    found: list[str] = []
    for pattern in patterns:
        form = re.compile(re.escape(pattern).replace(r"\*", r"\w+"))
        matching = [name for name in event_types if form.fullmatch(name)]
        if not matching:
            raise ValueError(f"no such events: {pattern}")
        found += matching
    return tuple(found)


def told_of(fact: Described, event_types: Sequence[str]) -> dict[str, str]:
    """Give the event types about something else, each with the field of their object that names what is to be read again."""
    return {event: field for pattern, field in fact.get("told_of", {}).items() for event in events_of([pattern], event_types)}


def merged_fields(objects: Iterable[str], api: Described) -> dict[str, Described]:
    """Give the fields that any of the objects has; a reference in one of them is a reference."""
    fields: dict[str, Described] = {}
    for name in objects:
        for column, described in api["objects"][name]["fields"].items():
            if column not in fields or described["type"] == "id":
                fields[column] = described
    return fields


def retrieve_path(list_path: str, objects: Sequence[str], api: Described) -> str | None:
    """Choose the path that reads one of these objects; none where the description has none that reads them all.

    Best is one with the id alone, then one below the list's own path; others may be aliases.
    """
    ways = [set(api["retrieve"].get(name, [])) for name in objects]
    shared = set.intersection(*ways)
    below = f"{_PLACEHOLDER.sub('{}', list_path)}/{{}}"

    def rank(path: str) -> tuple[bool, bool, int, str]:
        return path.count("{") > 1, _PLACEHOLDER.sub("{}", path) != below, len(path), path

    fit = [path for path in shared if path.count("{") == 1 or _PLACEHOLDER.sub("{}", path) == below]
    return min(fit, key=rank, default=None)


def unaccounted(api: Described, facts: Mapping[str, Described], left_out: Mapping[str, Mapping[str, str]]) -> str | None:
    """Say which path or event type of the description no type has and `left_out.toml` does not name, or names in vain."""
    paths = {path for fact in facts.values() for path in (fact["path"], fact.get("fallback", {}).get("path")) if path}
    known = endpoints(api)
    excused = {**left_out["lists"], **left_out["nothing"]}
    if forgotten := sorted(known.keys() - paths - excused.keys()):
        return f"no type of types.toml has {forgotten[0]}, and left_out.toml does not name it"
    if vain := sorted((excused.keys() - known.keys()) | (excused.keys() & paths)):
        return f"left_out.toml: {vain[0]} is not in the API description, or a type has it"
    if strangers := sorted(set(left_out["lists"].values()) - facts.keys()):
        return f"left_out.toml: there is no type {strangers[0]}"
    return _untold(api["event_types"], facts, left_out["events"])


def _untold(event_types: Sequence[str], facts: Mapping[str, Described], excused: Mapping[str, str]) -> str | None:
    tellers: dict[str, str] = {}
    for name, fact in facts.items():
        for event in events_of((*fact.get("events", ()), *fact.get("told_of", {})), event_types):
            if event in tellers:
                return f"types.toml: {event} tells of {tellers[event]} and of {name}"
            tellers[event] = name
    if forgotten := sorted(set(event_types) - tellers.keys() - excused.keys()):
        return f"no type of types.toml has the event {forgotten[0]}, and left_out.toml does not name it"
    if vain := sorted((excused.keys() - set(event_types)) | (excused.keys() & tellers.keys())):
        return f"left_out.toml: {vain[0]} is not in the API description, or a type has it"
    return None
