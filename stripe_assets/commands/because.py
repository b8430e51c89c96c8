"""Says why types are read that nobody has asked for: others cannot be found, or not be found whole, without them."""

from collections.abc import Collection, Iterator

from stripe_assets.catalog.types import Catalog, ObjectType

NAMED = 3
"""Types that are named as the reason of another."""


def because(catalog: Catalog, asked: Collection[str], read: Collection[str]) -> Iterator[str]:
    """Tell of each type that is `read` without having been `asked` for, why; nothing where all types were."""
    if not asked:
        return
    for name in read:
        if name in asked:
            continue
        hidden = [kind.name for kind in catalog if kind.name in read and kind.hidden_under is not None and kind.hidden_under.type == name]
        below = [kind.name for kind in catalog if kind.name in read and name in _found_by(kind)]
        why = [
            *([f"{_some(below)} are asked for by it"] if below else []),
            *([f"{_some(hidden)} that belong to one are in no other list"] if hidden else []),
        ]
        if why:
            yield f"{name} is read as well, because {', and '.join(why)}"


def _found_by(kind: ObjectType) -> set[str]:
    """Name the types whose objects are needed to ask for those of a type."""
    found: set[str] = set()
    for parent in (kind.parent, kind.fallback.parent if kind.fallback is not None else None):
        if parent is not None:
            found |= {parent.type, *parent.each.values(), *filter(None, [parent.needs])}
    return found


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
