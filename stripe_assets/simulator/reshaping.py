"""Fields that appear, vanish or change their type, as with a new version of the API: by kind and field, for all later answers."""

from stripe_assets.simulator.store import Change, Fields, Store


def _appear(shown: Fields, field: str) -> None:
    shown[field] = "new"


def _vanish(shown: Fields, field: str) -> None:
    shown.pop(field, None)


def _text(shown: Fields, field: str) -> None:
    if field in shown:
        shown[field] = f"text {shown[field]}"


def _number(shown: Fields, field: str) -> None:
    if field in shown:
        shown[field] = len(str(shown[field])) + 0.5


def _object(shown: Fields, field: str) -> None:
    if field in shown:
        shown[field] = {"was": shown[field]}


CHANGES: dict[str, Change] = {"appear": _appear, "vanish": _vanish, "text": _text, "number": _number, "object": _object}


def reshape(store: Store, kind: str, field: str, change: str) -> None:
    """Change a field of all objects of a kind. Raises `ValueError` for a change that there is none of."""
    if change not in CHANGES:
        raise ValueError(f"a field can not {change}; it can {', '.join(CHANGES)}")
    store.reshaped.setdefault(kind, {})[field] = CHANGES[change]
    for shelf in (*store.shelves.values(), *store.grown.values()):  # whatever embeds one of them shows it as well
        for record in shelf.order:
            record.body = None
