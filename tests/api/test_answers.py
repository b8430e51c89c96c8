"""What an answer says: pages as they came, and the right error for each unwelcome one."""

import json
from typing import Any

import msgspec
import pytest

from stripe_assets.api.answers import Answer, Page, Stub, cut_short, read_page, read_single, read_stub, read_token_page, refusal
from stripe_assets.errors import CursorLost, Declined, Missing, Refused, Rejected, RequestError, Throttled, Transient, Unauthorized


def answer(body: bytes) -> Answer:
    return Answer("/v1/charges", body, "req_1")


def test_a_page_keeps_its_objects_byte_by_byte_and_in_order() -> None:
    """Numbers, spaces, escapes and unknown fields: what is stored as raw is what Stripe sent."""
    objects = [
        b'{"id": "ch_3", "created":17, "amount": 12.70, "note": "caf\xc3\xa9 \\u00e9 \\/"}',
        b'{"id":"ch_2","created":16,"new_field":{"deep":[1,  2]}}',
        b'{ "object" : "charge" , "id" : "ch_1" , "big": 123456789012345678901234567890 }',
    ]
    body = b'{"object":"list","url":"/v1/charges", "data": [' + b" ,\n ".join(objects) + b' ],\n "has_more": true}'
    page = read_page(answer(body))
    assert [bytes(each) for each in page.objects] == objects
    assert (page.has_more, page.first, page.last) == (True, Stub("ch_3", 17), Stub("ch_1"))


def test_the_last_short_page_is_kept() -> None:
    """A mirror that looked at `has_more` before it kept the page lost up to 99 objects of every list."""
    page = read_page(answer(b'{"object":"list","data":[{"id":"ch_1","created":5}],"has_more":false}'))
    assert page == Page((msgspec.Raw(b'{"id":"ch_1","created":5}'),), has_more=False, first=Stub("ch_1", 5), last=Stub("ch_1", 5))


def test_an_empty_list_is_a_page_without_objects() -> None:
    """And no error: most accounts do not use most of Stripe."""
    assert read_page(answer(b'{"object":"list","data":[],"has_more":false}')) == Page((), has_more=False, first=None, last=None)


def test_an_object_says_whose_it_is_and_whether_it_was_deleted() -> None:
    """Deleted objects are answered as a stub with status 200."""
    bodies = [b'{"id":"cus_1","object":"customer","created":7}', b'{"id":"cus_1","object":"customer","deleted":true}']
    assert [read_stub(answer(body)) for body in bodies] == [Stub("cus_1", 7), Stub("cus_1", None, deleted=True)]


def test_a_page_of_version_two_goes_on_by_its_token_and_its_times_are_text() -> None:
    """The next page is asked for by a token, never by the last object's id; seconds are what windows are told by."""
    things = b'{"data":[{"id":"evt_2","created":"2026-09-21T14:13:20.500Z"},{"id":"evt_1"}],'
    page = read_token_page(answer(things + b'"next_page_url":"/v2/core/events?limit=2&page=t%2F1"}'))
    assert (page.first, page.last) == (Stub("evt_2", 1_790_000_000), Stub("evt_1"))
    assert (page.has_more, page.cursor) == (True, "t/1")
    last = read_token_page(answer(b'{"data":[{"id":"evt_0"}],"next_page_url":null,"previous_page_url":"/v2/core/events?page=x"}'))
    assert (last.has_more, last.token, len(last.objects)) == (False, None, 1)


@pytest.mark.parametrize(
    "body",
    [
        b'{"data":[{"id":"evt_1"}]}',
        b'{"data":[{"id":"evt_1"}],"next_page_url":"/v2/core/events?limit=2"}',
        b'{"data":[{"id":"evt_1","created":5}],"next_page_url":null}',
        b'{"data":[{"object":"v2.core.event"}],"next_page_url":null}',
        b"<html>",
    ],
    ids=["no next page", "no token", "seconds", "no id", "html"],
)
def test_what_is_no_page_of_version_two_is_asked_for_again(body: bytes) -> None:
    """Without a word about the next page it would be taken for the last."""
    with pytest.raises(Transient):
        read_token_page(answer(body))


def test_a_single_object_is_a_page_by_itself_with_or_without_an_id() -> None:
    """A balance has none."""
    body = b'{"object":"balance","available":[{"amount":1}]}'
    assert read_single(answer(body)) == Page((msgspec.Raw(body),), has_more=False, first=None, last=None)
    for damaged in (body[:-1], b"[]", b"null", b"<html>", b"{}", b'{"object":"list","has_more":false}', b'{"error":{"message":"no"}}'):
        with pytest.raises(Transient):
            read_single(answer(damaged))


def test_lists_that_are_cut_short_are_found_however_deep_they_lie() -> None:
    """Some lists lie two objects deep, and most parents have no such object at all."""
    inside = {"data": [{"id": "li_1"}, {"id": "li_2"}], "has_more": True}
    things: list[Any] = [
        {"id": "qt_1", "computed": {"upfront": {"line_items": inside}}},
        {"id": "qt_2", "computed": {"upfront": {"line_items": {**inside, "has_more": False}}}},
        {"id": "qt_3", "computed": {"upfront": None}},
        {"id": "qt_4"},
    ]
    page = Page(tuple(msgspec.Raw(msgspec.json.encode(thing)) for thing in things), has_more=False, first=None, last=None)
    assert cut_short(page, "computed.upfront.line_items") == [("qt_1", "li_2")]
    flat = Page((msgspec.Raw(msgspec.json.encode({"id": "in_1", "lines": inside})),), has_more=False, first=None, last=None)
    assert cut_short(flat, "lines") == [("in_1", "li_2")]


WHOLE = b'{"object":"list","data":[{"id":"ch_1","created":5,"note":"caf\xc3\xa9"}],"has_more":false}'


@pytest.mark.parametrize("end", range(len(WHOLE)))
def test_no_beginning_of_a_page_is_taken_for_a_page(end: int) -> None:
    """A cut connection may cut anywhere; half a page taken for a whole one is rows lost without a word."""
    with pytest.raises(Transient):
        read_page(answer(WHOLE[:end]))


@pytest.mark.parametrize(
    "body",
    [
        b"<html><body>Welcome to the hotel network</body></html>",
        WHOLE.replace(b"\xc3\xa9", b"\xe9"),
        WHOLE + b"}",
        b"null",
        b"[]",
        b'{"error":{"message":"with status 200"}}',
        b'{"object":"list","data":null,"has_more":false}',
        b'{"object":"list","data":[null],"has_more":false}',
        b'{"object":"list","data":[{"object":"charge"}],"has_more":false}',
        b'{"object":"list","data":[{"id":"ch_1"}]}',
        b'{"object":"list","data":[],"has_more":true}',
        b"{}",
        b'{"object":"list","data":' + b"[" * 100_000,
    ],
    ids=[
        "html",
        "latin-1",
        "more after the end",
        "null",
        "array",
        "error",
        "no data",
        "no object",
        "no id",
        "no has_more",
        "more of nothing",
        "nothing",
        "too deep",
    ],
)
def test_what_is_no_page_is_asked_for_again(body: bytes) -> None:
    """A proxy, a login page or a broken cache stands in between: never an empty list, never another error."""
    with pytest.raises(Transient) as caught:
        read_page(answer(body))
    said = str(caught.value)
    assert said.startswith("GET /v1/charges was answered with something that is not Stripe's JSON")
    assert said.endswith("check STRIPE_API_BASE and any proxy in between")
    assert len(said) < 400
    assert (caught.value.path, caught.value.request_id, caught.value.status) == ("/v1/charges", "req_1", 200)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"id":7}', b'{"id":"cus_\xff"}', b'{"object":"customer"}', b'{"id":' * 100_000])
def test_what_is_no_object_is_asked_for_again(body: bytes) -> None:
    """The same for a single object."""
    with pytest.raises(Transient):
        read_stub(answer(body))


def fault(**fields: Any) -> bytes:
    """Write an error as Stripe does."""
    return json.dumps({"error": {"message": "Stripe's words.", "type": "invalid_request_error", **fields}}).encode()


TRY, DO_NOT = {"stripe-should-retry": "true"}, {"stripe-should-retry": "false"}
HTML = b"<html><h1>Access denied by your company</h1></html>"


@pytest.mark.parametrize(
    ("status", "headers", "body", "kind"),
    [
        (401, {}, fault(), Unauthorized),
        (401, TRY, fault(), Unauthorized),
        (401, {}, HTML, Unauthorized),
        (403, {}, fault(), Refused),
        (403, {}, fault(code="account_invalid"), Refused),
        (403, TRY, fault(), Transient),
        (403, {}, HTML, Rejected),
        (404, {}, fault(code="resource_missing", param="id"), Missing),
        (404, {}, fault(), Refused),
        (404, {}, HTML, Rejected),
        (404, {}, b"", Rejected),
        (400, {}, fault(code="resource_missing", param="starting_after"), CursorLost),
        (400, {}, fault(code="resource_missing", param="ending_before"), CursorLost),
        (400, {}, fault(code="resource_missing", param="customer"), Rejected),
        (400, {}, fault(code="parameter_unknown", param="starting_after"), Rejected),
        (400, {}, fault(param="limit"), Rejected),
        (400, {}, fault(), Declined),
        (400, {}, fault(message="Your account is not set up to use Issuing."), Refused),
        (400, {}, fault(message="Accounts v2 is not enabled for your account."), Refused),
        (400, {}, fault(message="Treasury hasn't been activated: please sign up first."), Refused),
        (400, {}, HTML, Rejected),
        (400, TRY, fault(), Transient),
        (402, {}, fault(code="card_declined"), Rejected),
        (405, {}, fault(), Rejected),
        (408, {}, b"", Transient),
        (409, {}, fault(), Transient),
        (409, DO_NOT, fault(), Rejected),
        (424, {}, fault(), Rejected),
        (429, {}, fault(code="lock_timeout"), Throttled),
        (429, {}, HTML, Throttled),
        (429, {"stripe-rate-limited-reason": "global-rate"}, fault(code="rate_limit"), Throttled),
        (429, {"stripe-rate-limited-reason": "global-rate"} | TRY, fault(code="rate_limit"), Throttled),
        (429, DO_NOT, fault(), Rejected),
        (500, {}, fault(), Transient),
        (500, DO_NOT, fault(), Rejected),
        (502, {}, HTML, Transient),
        (503, TRY, fault(), Transient),
        (504, {}, b"", Transient),
        (302, {"location": "https://login.hotel.example"}, b"", Rejected),
        (204, {}, b"", Rejected),
    ],
)
def test_each_answer_is_the_error_that_says_what_can_be_done(status: int, headers: dict[str, str], body: bytes, kind: type) -> None:
    """Skipping what should be asked again loses rows; asking again what is refused never ends."""
    error = refusal("/v1/charges", status, {"request-id": "req_9", **headers}, body)
    assert type(error) is kind
    assert (error.path, error.status, error.request_id) == ("/v1/charges", status, "req_9")
    assert str(error).startswith("GET /v1/charges (request req_9): ")
    assert len(str(error)) < 300


@pytest.mark.parametrize("status", [400, 403, 404])
@pytest.mark.parametrize("damage", [b"", b'{"error":{"mess', b'{"error":{"message":"\xff"}}', b"<html>"])
def test_an_error_that_cannot_be_read_is_asked_for_again(status: int, damage: bytes) -> None:
    """It may have said that a cursor is lost, or that a permission lacks: what follows from it nobody knows."""
    headers = {"content-type": "application/json; charset=utf-8"}
    assert type(refusal("/v1/charges", status, headers, damage)) is Transient
    assert type(refusal("/v1/charges", status, headers | DO_NOT, damage)) is Rejected
    assert type(refusal("/v1/charges", status, headers, b'{"detail":"blocked by your company"}')) is Rejected
    assert type(refusal("/v1/charges", 401, headers, damage)) is Unauthorized


@pytest.mark.parametrize(
    "reason", ["global-rate", "global-concurrency", "endpoint-rate", "endpoint-concurrency", "resource-specific", None]
)
def test_a_429_keeps_its_reason(reason: str | None) -> None:
    """It decides which bucket is slowed."""
    error = refusal("/v1/charges", 429, {"stripe-rate-limited-reason": reason} if reason else {}, fault(code="rate_limit"))
    assert isinstance(error, Throttled)
    assert (error.reason, error.retry_after, error.code, error.request_id) == (reason, None, "rate_limit", None)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("", None),
        ("inf", None),
        ("nan", None),
        ("1e999", None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_read_as_seconds(text: str, seconds: float | None, status: int) -> None:
    """Nonsense in it may not stop a sync for ever."""
    error = refusal("/v1/charges", status, {"retry-after": text}, fault())
    assert isinstance(error, Throttled | Transient)
    assert error.retry_after == seconds


def test_stripes_words_and_code_are_passed_on() -> None:
    """The message names the missing permission: that is what the user has to know."""
    error: RequestError = refusal("/v1/charges", 403, {"request-id": "req_9"}, fault(code="more_permissions_required"))
    assert (str(error), error.code) == ("GET /v1/charges (request req_9): Stripe's words.", "more_permissions_required")


def test_the_missing_permission_comes_first() -> None:
    """It is what has to be ticked in the dashboard; the rest of the sentence is long."""
    said = "The provided key 'rk_test_***' does not have the required permissions. Having the 'rak_charge_read' permission would help."
    error = refusal("/v1/charges", 403, {"request-id": "req_9"}, fault(message=said))
    assert str(error) == f"needs the permission rak_charge_read: GET /v1/charges (request req_9): {said}"


@pytest.mark.parametrize(
    "body", [b'{"error":{"message":"\xff\xfe"}}', b'{"error":' * 100_000, b'{"error":"no struct"}', b'{"error":{"message":7}}']
)
def test_a_damaged_error_is_still_an_error_of_ours(body: bytes) -> None:
    """What cannot be read may not break the run in its own way."""
    assert type(refusal("/v1/charges", 500, {}, body)) is Transient
    assert type(refusal("/v1/charges", 400, {}, body)) is Rejected


def test_damaged_object_is_not_quoted_and_a_strangers_page_is() -> None:
    """How a proxy's page begins tells whose it is; how an object begins may be a person's address, and reasons are stored."""
    for body in (b'{"email":"somebody@private.example', b' {"email": "somebody@private.example", "data": 5}'):
        with pytest.raises(Transient) as told:
            read_page(answer(body))
        assert "somebody" not in str(told.value)
    with pytest.raises(Transient, match="it begins '<html>'"):
        read_page(answer(b"<html>"))
