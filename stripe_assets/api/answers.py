"""What Stripe's answers say: the list envelope, and which error an unwelcome status is.

Objects stay raw JSON: nothing here builds a Python object for each of them. When to ask again belongs in `client`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import isfinite
from typing import Any

import msgspec

from stripe_assets.errors import CursorLost, Missing, Refused, Rejected, RequestError, Throttled, Transient, Unauthorized

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding a damaged body raises: it is cut, not UTF-8, or nested without an end."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer: its body (JSON, unpacked), and Stripe's id of the request."""

    path: str
    body: bytes
    request_id: str | None


class Stub(msgspec.Struct, frozen=True):
    """What the reading of a list needs of an object."""

    id: str
    created: int | None = None
    deleted: bool = False


class _Envelope(msgspec.Struct, frozen=True):
    data: list[msgspec.Raw]
    has_more: bool


class _Fault(msgspec.Struct, frozen=True):
    message: str = ""
    code: str | None = None
    param: str | None = None


class _FaultBody(msgspec.Struct, frozen=True):
    error: _Fault


_envelopes = msgspec.json.Decoder(_Envelope)
_stubs = msgspec.json.Decoder(Stub)
_faults = msgspec.json.Decoder(_FaultBody)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list: its objects as raw JSON in Stripe's order, and whether there are more."""

    objects: tuple[msgspec.Raw, ...]
    has_more: bool
    first: Stub | None
    last: Stub | None


def read_page(answer: Answer) -> Page:
    """Read a list's envelope. Raises `Transient` if it is none: a damaged body is worth another try."""
    try:
        if not answer.body.isascii():
            answer.body.decode()
        envelope = _envelopes.decode(answer.body)
        first = _stubs.decode(envelope.data[0]) if envelope.data else None
        last = _stubs.decode(envelope.data[-1]) if envelope.data else None
    except UNREADABLE as error:
        raise damaged(answer, error) from error
    return Page(tuple(envelope.data), envelope.has_more, first, last)


@cache
def _embedding(field: str) -> msgspec.json.Decoder[Any]:
    """Give a decoder of objects that looks only at their id and at one embedded list."""
    entries = msgspec.defstruct("Entries", [("data", list[Stub], []), ("has_more", bool, False)], frozen=True)
    return msgspec.json.Decoder(msgspec.defstruct("Embedding", [("id", str), (field, entries | None, None)], frozen=True))


def cut_short(page: Page, field: str) -> list[tuple[str, str]]:
    """Find the objects of a page whose embedded list has more than is shown: their ids, each with the last child's id."""
    try:
        seen = [(thing.id, getattr(thing, field)) for thing in map(_embedding(field).decode, page.objects)]
    except msgspec.ValidationError:
        return []  # the field is no list here: what is stored of the parent will tell
    return [(name, entries.data[-1].id) for name, entries in seen if entries is not None and entries.has_more and entries.data]


def read_stub(answer: Answer) -> Stub:
    """Read whose object an answer is, and whether it is only the trace of a deleted one. Raises `Transient`."""
    try:
        if not answer.body.isascii():
            answer.body.decode()
        return _stubs.decode(answer.body)
    except UNREADABLE as error:
        raise damaged(answer, error) from error


def damaged(answer: Answer, error: Exception) -> Transient:
    """Say that a body is not the JSON that was asked for."""
    # Of a page of somebody else's it helps to see how it begins; of an object it might be what is not to be kept.
    begin = "" if answer.body[:40].lstrip().startswith(b"{") else f"; it begins {answer.body[:40].decode(errors='replace')!r}"
    return Transient(
        f"GET {answer.path} was answered with something that is not Stripe's JSON ({error}{begin}); "
        "check STRIPE_API_BASE and any proxy in between",
        path=answer.path,
        status=200,
        request_id=answer.request_id,
    )


def refusal(path: str, status: int, headers: Mapping[str, str], body: bytes) -> RequestError:
    """Turn an unwelcome answer into the error that says what can be done about it."""
    request_id = headers.get("request-id")
    fault = _fault(body)
    said = fault.message or f"HTTP status {status} with a body that is not Stripe's: {body[:40].decode(errors='replace')!r}"
    message = f"GET {path} (request {request_id or 'without an id'}): {said}"
    should_retry = headers.get("stripe-should-retry")
    retry_after = _seconds(headers.get("retry-after"))
    if status == 429:
        if should_retry == "false":
            return Rejected(message, path=path, status=status, request_id=request_id, code=fault.code)
        reason = headers.get("stripe-rate-limited-reason")
        return Throttled(message, path=path, reason=reason, retry_after=retry_after, request_id=request_id, code=fault.code)
    kind = _kind(status, fault, should_retry)
    if kind is Transient:
        return Transient(message, path=path, status=status, request_id=request_id, code=fault.code, retry_after=retry_after)
    return kind(message, path=path, status=status, request_id=request_id, code=fault.code)


def _kind(status: int, fault: _Fault, should_retry: str | None) -> type[RequestError]:
    if status == 401:
        return Unauthorized
    if should_retry == "true" or (should_retry != "false" and (status in (408, 409) or status >= 500)):
        return Transient
    if not fault.message:
        return Rejected  # not Stripe's words: something in between has answered
    if status == 403:
        return Refused
    if status == 400 and fault.code == "resource_missing" and fault.param in ("starting_after", "ending_before"):
        return CursorLost
    if status == 404 and fault.code == "resource_missing":
        return Missing
    # Products that an account does not use answer 400 without naming a parameter, or hide their address.
    if status == 404 or (status == 400 and fault.param is None):
        return Refused
    return Rejected


def _fault(body: bytes) -> _Fault:
    try:
        return _faults.decode(body).error
    except UNREADABLE:
        return _Fault()


def _seconds(text: str | None) -> float | None:
    try:
        seconds = float(text or "nan")
    except ValueError:
        return None  # a date: Stripe sends seconds if anything, and our own back-off covers the rest
    return max(0.0, seconds) if isfinite(seconds) else None
