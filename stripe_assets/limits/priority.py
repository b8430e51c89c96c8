"""The order in which waiting requests are served."""

from enum import IntEnum


class Priority(IntEnum):
    """Which bucket a request waits in; a lower one is served first, because it opens more further work."""

    FAN_OUT = 0
    """Its answer names objects that are asked for one by one."""
    PAGE = 1
    """Its answer leads to the next page."""
    LEAF = 2
    """Nothing follows from it."""
