"""Takes slots from the shared file as one process does."""

from stripe_assets.limits.shared_file import FileGuard


def nothing() -> None:
    """A file never calls back."""


def drained(guard: FileGuard, now: float, until: float) -> list[float]:
    """Take and use slots whenever one is promised."""
    used = []
    while now < until:
        if (slot := guard.take(now)) is not None:
            guard.used(slot, now)
            used.append(now)
        now = max(now, guard.ready_at(now))
    return used
