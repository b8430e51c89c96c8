"""What can go wrong, split by what the caller can do about it: ask again, ask later, skip with a reason, give up.

Every message is one sentence that says what was asked and of whom, and ends with what to do. No error carries a key.
"""


class MirrorError(Exception):
    """Anything that this project raises on purpose."""


class ConfigurationError(MirrorError):
    """A setting or an argument is wrong: nothing was started."""


class TooManyWaiting(MirrorError):
    """More requests would wait at once than memory should hold: the caller makes them before they are due."""


class RequestError(MirrorError):
    """A request that Stripe, or the way to it, did not answer with what was asked for."""

    def __init__(
        self,
        message: str,
        *,
        path: str,
        status: int | None = None,
        request_id: str | None = None,
        code: str | None = None,
    ) -> None:
        """Keep what a dead letter needs: `path`, HTTP `status`, Stripe's `request_id` and error `code`."""
        super().__init__(message)
        self.path = path
        self.status = status
        self.request_id = request_id
        self.code = code


class Transient(RequestError):
    """Ask again: the connection broke, the answer was damaged, or Stripe had a fault (409, 5xx).

    `retry_after` in seconds if it was said.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str,
        status: int | None = None,
        request_id: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Keep when to ask again beside what every request error keeps."""
        super().__init__(message, path=path, status=status, request_id=request_id, code=code)
        self.retry_after = retry_after


class Throttled(RequestError):
    """Ask later: a 429. `reason` is Stripe's (none: no limiter spoke), `retry_after` in seconds if it was said."""

    def __init__(
        self,
        message: str,
        *,
        path: str,
        reason: str | None,
        retry_after: float | None,
        request_id: str | None = None,
        code: str | None = None,
    ) -> None:
        """Keep Stripe's reason beside what every request error keeps."""
        super().__init__(message, path=path, status=429, request_id=request_id, code=code)
        self.reason = reason
        self.retry_after = retry_after


class Refused(RequestError):
    """Skip with a reason: the key lacks a permission, or the account does not use this product."""


class Declined(Refused):
    """Skip with a reason: a 400 that names no parameter. Asked of a list it means the account, of one object's children that object."""


class CursorLost(RequestError):
    """The object that a page was to start after is gone: go on from another position."""


class Missing(RequestError):
    """The one object that was asked for does not exist, or no longer."""


class Rejected(RequestError):
    """Give up on this request: Stripe understood it and says no (400, 404), and asking again would not help."""


class Unauthorized(RequestError):
    """Give up altogether: Stripe does not know the key."""


class WarehouseError(MirrorError):
    """The database file cannot be used."""


class WarehouseNewer(WarehouseError, ConfigurationError):
    """The database file was written by a newer release: upgrade, or name another file."""


class WarehouseBusy(WarehouseError):
    """Another process has held the file for longer than we were told to wait."""
