"""Refusals in Stripe's words: status, error JSON and the header that goes with it."""

from typing import Any

import orjson


class Refusal(Exception):
    """A request that is answered with an error."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        error_type: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        reason: str | None = None,
        retry: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry = retry
        error: dict[str, Any] = {"message": message, "type": error_type}
        if code is not None:
            error |= {"code": code, "doc_url": f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"}
        if param is not None:
            error["param"] = param
        self.error = error

    def body(self) -> bytes:
        """Give the error JSON."""
        return orjson.dumps({"error": self.error})

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Give the headers that only this refusal has."""
        extra = []
        if self.reason is not None:
            extra.append((b"stripe-rate-limited-reason", self.reason.encode()))
        if self.retry is not None:
            extra.append((b"stripe-should-retry", b"true" if self.retry else b"false"))
        return extra


def missing(status: int, kind: str, object_id: str, param: str) -> Refusal:
    """Refuse an id that names nothing."""
    return Refusal(status, f"No such {kind.replace('_', ' ')}: '{object_id}'", code="resource_missing", param=param)


def throttled(reason: str) -> Refusal:
    """Refuse because a limit is reached; the reason names which."""
    what = "Too many concurrent requests" if reason.endswith("concurrency") else "Request rate limit exceeded"
    return Refusal(429, f"{what}. Slow down and try again.", code="rate_limit", reason=reason)
