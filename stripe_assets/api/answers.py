"""What Stripe's answers say: the list envelopes, and which error an unwelcome status is.

Objects stay raw JSON: nothing here builds a Python object for each of them. When to ask again belongs in `client`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, reduce
from math import isfinite
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from stripe_assets.errors import CursorLost, Declined, Missing, Refused, Rejected, RequestError, Throttled, Transient, Unauthorized

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding a damaged body raises: it is cut, not UTF-8, or nested without an end."""


_PERMISSION = re.compile(r"\brak_\w+")
_NOT_ENABLED = re.compile(
    r"\b(?:not|\w+n't)\s+(?:\w+\s+){0,2}(?:enabled|set up|activated|onboarded|signed up)|\bsign up\b|not have access", re.IGNORECASE
)
"""How Stripe says that an account does not use a product; on the list of one object's children other words are about that object."""


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

    def __post_init__(self) -> None:
        """Refuse what is neither the end of a list nor a way on."""
        if self.has_more and not self.data:
            raise ValueError("it says that there is more, and does not give it")


class _Single(msgspec.Struct, frozen=True):
    """What the reading of a single object needs of it: not every one has an id."""

    object: str

    def __post_init__(self) -> None:
        """Refuse a list."""
        if self.object == "list":
            raise ValueError("one object was asked for, not a list")


class _TokenStub(msgspec.Struct, frozen=True):
    """What the reading of a version 2 list needs of an object: its times are text."""

    id: str
    created: datetime | None = None


class _TokenEnvelope(msgspec.Struct, frozen=True):
    data: list[msgspec.Raw]
    next_page_url: str | None


class _Fault(msgspec.Struct, frozen=True):
    message: str = ""
    code: str | None = None
    param: str | None = None


class _FaultBody(msgspec.Struct, frozen=True):
    error: _Fault


_envelopes = msgspec.json.Decoder(_Envelope)
_token_envelopes = msgspec.json.Decoder(_TokenEnvelope)
_stubs = msgspec.json.Decoder(Stub)
_token_stubs = msgspec.json.Decoder(_TokenStub)
_singles = msgspec.json.Decoder(_Single)
_faults = msgspec.json.Decoder(_FaultBody)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list: its objects as raw JSON in Stripe's order, whether there are more, and the `token` that asks for them."""

    objects: tuple[msgspec.Raw, ...]
    has_more: bool
    first: Stub | None
    last: Stub | None
    token: str | None = None

    @property
    def cursor(self) -> str | None:
        """What the next page is asked for by: the token, or the last object's id."""
        return self.token or (self.last.id if self.last is not None else None)


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


def read_ids(answer: Answer) -> tuple[Page, list[str]]:
    """Read a list's envelope and every object's id. Raises `Transient` if it is damaged."""
    page = read_page(answer)
    try:
        return page, [_stubs.decode(raw).id for raw in page.objects]
    except UNREADABLE as error:
        raise damaged(answer, error) from error


def read_token_page(answer: Answer) -> Page:
    """Read the envelope of a version 2 list. Raises `Transient` if it is none."""
    try:
        if not answer.body.isascii():
            answer.body.decode()
        envelope = _token_envelopes.decode(answer.body)
        ends = [_dated(_token_stubs.decode(raw)) for raw in (envelope.data[:1] + envelope.data[-1:])]
        asked = parse_qs(urlsplit(envelope.next_page_url or "").query)
    except UNREADABLE as error:
        raise damaged(answer, error) from error
    more, token = envelope.next_page_url is not None, asked.get("page", [None])[0]
    if more and token is None:
        raise damaged(answer, ValueError("next_page_url without a page"))
    first, last = (ends[0], ends[-1]) if ends else (None, None)
    return Page(tuple(envelope.data), more, first, last, token)


def _dated(stub: _TokenStub) -> Stub:
    return Stub(stub.id, int(stub.created.timestamp()) if stub.created is not None else None)


def read_single(answer: Answer) -> Page:
    """Take the one object of an answer for a page; it may have no id. Raises `Transient` if it is none."""
    try:
        if not answer.body.isascii():
            answer.body.decode()
        _singles.decode(answer.body)
    except UNREADABLE as error:
        raise damaged(answer, error) from error
    return Page((msgspec.Raw(answer.body),), has_more=False, first=None, last=None)


@cache
def _embedding(field: str) -> msgspec.json.Decoder[Any]:
    """Give a decoder of objects that looks only at their id and at one embedded list, which may lie deeper: `computed.line_items`."""
    entries = msgspec.defstruct("Entries", [("data", list[Stub], []), ("has_more", bool, False)], frozen=True)
    *above, name = reversed(field.split("."))
    inside: Any = entries | None
    for deeper in above:
        inside = msgspec.defstruct("Inside", [(deeper, inside, None)], frozen=True) | None
    return msgspec.json.Decoder(msgspec.defstruct("Embedding", [("id", str), (name, inside, None)], frozen=True))


def cut_short(page: Page, field: str) -> list[tuple[str, str]]:
    """Find the objects of a page whose embedded list has more than is shown: their ids, each with the last child's id."""
    try:
        seen = [(thing.id, _within(thing, field.split("."))) for thing in map(_embedding(field).decode, page.objects)]
    except msgspec.ValidationError:
        return []  # the field is no list here: what is stored of the parent will tell
    return [(name, entries.data[-1].id) for name, entries in seen if entries is not None and entries.has_more and entries.data]


def _within(thing: Any, path: Sequence[str]) -> Any:
    return reduce(lambda inner, name: inner and getattr(inner, name), path, thing)


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
    if status == 403 and (permission := _PERMISSION.search(said)):
        message = f"needs the permission {permission[0]}: {message}"
    should_retry = headers.get("stripe-should-retry")
    retry_after = _seconds(headers.get("retry-after"))
    if status == 429:
        if should_retry == "false":
            return Rejected(message, path=path, status=status, request_id=request_id, code=fault.code)
        reason = headers.get("stripe-rate-limited-reason")
        return Throttled(message, path=path, reason=reason, retry_after=retry_after, request_id=request_id, code=fault.code)
    kind = Transient if _is_broken(status, headers, body) and should_retry != "false" else _kind(status, fault, should_retry)
    if kind is Transient:
        return Transient(message, path=path, status=status, request_id=request_id, code=fault.code, retry_after=retry_after)
    return kind(message, path=path, status=status, request_id=request_id, code=fault.code)


def _is_broken(status: int, headers: Mapping[str, str], body: bytes) -> bool:
    """Say whether an error's body is called JSON and is none: nobody knows what it would have said, so it is asked for again."""
    if status == 401 or not headers.get("content-type", "").startswith("application/json"):
        return False
    try:
        msgspec.json.decode(body)
    except UNREADABLE:
        return True
    return False


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
    if status == 404:
        return Refused  # products that an account does not use may hide their address
    if status == 400 and fault.param is None:
        return Refused if _NOT_ENABLED.search(fault.message) else Declined
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
