"""What only real sockets show: what arrives at the other end, proxies, connections used again, and broken ones."""

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from stripe_assets.api.answers import Answer, read_page
from stripe_assets.api.client import Request, StripeClient
from stripe_assets.errors import RequestError, Transient
from stripe_assets.limits.limiter import Limits
from stripe_assets.limits.priority import Priority
from stripe_assets.simulator.account import Account
from stripe_assets.simulator.server import serving

MakeClient = Callable[..., StripeClient]
UNLIMITED = Limits(None, None)
EMPTY = b'{"object":"list","data":[],"has_more":false}'


def asking(path: str = "/v1/charges", **params: Any) -> Request:
    return Request(path, f"GET {path}", Priority.PAGE, params)


def body(answer: Answer) -> bytes:
    return answer.body


def reply(content: bytes = EMPTY, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (status.encode(), len(content), content)


class Loopback:
    """A server that answers everything alike, and remembers what it heard on how many connections."""

    def __init__(self, answer: bytes, *, hang_up: bool = False) -> None:
        self.answer = answer
        self.hang_up = hang_up
        self.heard: list[bytes] = []
        self.connections = 0
        self.spoken_to = asyncio.Event()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        self.connections += 1
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                self.heard.append(await reader.readuntil(b"\r\n\r\n"))
                self.spoken_to.set()
                writer.write(self.answer)
                await writer.drain()
                if self.hang_up:
                    break
        writer.close()


@asynccontextmanager
async def loopback(answer: bytes | None = None, **options: Any) -> AsyncIterator[Loopback]:
    """Run one on a free port."""
    server = Loopback(reply() if answer is None else answer, **options)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()


def test_parameters_arrive_as_stripe_reads_them(account: Account, make_client: MakeClient) -> None:
    """Lists as `expand[]`, booleans in small letters, and nothing lost on the way through two URL libraries."""
    awkward = "a+b c&d=e%41;é/#?[x]\N{SNOWMAN}"
    params = {
        "limit": 3,
        "created[gte]": 1,
        "expand": ["data.refunds", "data.customer"],
        "active": False,
        "livemode": True,
        "email": awkward,
    }

    async def main(url: str) -> None:
        async with make_client(base_url=url) as client:
            with suppress(RequestError):
                await client.get(asking(**params), body)

    with serving(account) as server:
        asyncio.run(main(server.url))
        (request,) = server.app.requests
    assert request.params == {
        "limit": "3",
        "created[gte]": "1",
        "expand[]": ("data.refunds", "data.customer"),
        "active": "false",
        "livemode": "true",
        "email": awkward,
    }


def test_pages_arrive_unpacked_and_whole(account: Account, make_client: MakeClient) -> None:
    """Compressed on the wire, the same bytes afterwards."""

    async def main(url: str) -> tuple[bytes, ...]:
        async with make_client(base_url=url) as client:
            return tuple(bytes(each) for each in (await client.get(asking(limit=100), read_page)).objects)

    with serving(account) as packed, serving(account, gzip=False) as plain:
        assert asyncio.run(main(packed.url)) == asyncio.run(main(plain.url))


def test_connections_are_used_again_and_are_no_more_than_may_be_under_way(make_client: MakeClient) -> None:
    """A TLS handshake for each of a million requests would cost more than the requests; errors keep a connection as well."""

    async def main() -> tuple[int, int]:
        async with loopback() as server, make_client(base_url=server.url, limits=Limits(None, None, in_flight=4)) as client:
            await asyncio.gather(*(client.get(asking(), body) for _ in range(60)))
            server.answer = reply(b'{"error":{"message":"no","param":"limit"}}', "400 Bad Request")
            await asyncio.gather(*(client.get(asking(), body) for _ in range(60)), return_exceptions=True)
            return len(server.heard), server.connections

    heard, connections = asyncio.run(main())
    assert heard == 120
    assert 1 <= connections <= 4


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_of_the_environment_is_used(make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Companies let nothing out but through theirs: without it there is no sync at all."""

    async def main() -> list[bytes]:
        async with loopback() as proxy:
            monkeypatch.setenv(name, proxy.url)
            async with make_client(base_url="http://stripe.invalid", limits=UNLIMITED) as client:
                assert await client.get(asking(limit=5), body) == EMPTY
            return proxy.heard

    (heard,) = asyncio.run(main())
    assert heard.startswith(b"GET http://stripe.invalid/v1/charges?limit=5 HTTP/1.1\r\n")


def test_an_encrypted_connection_goes_through_the_proxy_unseen(make_client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy is asked for a tunnel, with its own password; the key is not for its eyes."""

    async def main() -> bytes:
        async with loopback(reply(b"", "403 Forbidden")) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//user:word@"))
            async with make_client(base_url="https://stripe.invalid", limits=UNLIMITED) as client:
                request = asyncio.create_task(client.get(asking(), body))
                await proxy.spoken_to.wait()
                request.cancel()
                await asyncio.gather(request, return_exceptions=True)
            return proxy.heard[0]

    heard = asyncio.run(main())
    assert heard.startswith(b"CONNECT stripe.invalid:443 HTTP/1.1\r\n")
    assert b"proxy-authorization: basic dxnlcjp3b3jk" in heard.lower()
    assert b"Bearer" not in heard


def test_no_proxy_is_respected(make_client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator on this machine cannot be reached through a company's proxy."""

    async def main() -> tuple[int, int]:
        async with loopback() as proxy, loopback() as stripe:
            monkeypatch.setenv("HTTP_PROXY", proxy.url)
            monkeypatch.setenv("NO_PROXY", "127.0.0.1")
            async with make_client(base_url=stripe.url, limits=UNLIMITED) as client:
                await client.get(asking(), body)
            return len(proxy.heard), len(stripe.heard)

    assert asyncio.run(main()) == (0, 1)


BROKEN = {
    "no HTTP": b"garbage\r\n\r\n",
    "nothing": b"",
    "a part": b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" + EMPTY,
    "no gzip": b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc",
    "no chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nabc",
}


@pytest.mark.parametrize("name", [*BROKEN, "nobody listens", "a proxy that refuses"])
def test_a_broken_connection_is_tried_again_and_never_shows_the_key(
    make_client: MakeClient, run_fast: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """P8: aiohttp's errors carry the headers of the request, which loggers and error trackers print."""
    caplog.set_level(logging.DEBUG)

    async def main() -> RequestError:
        async with loopback(BROKEN.get(name, reply(b"", "407 Proxy Authentication Required")), hang_up=True) as server:
            url = server.url
            if name == "nobody listens":
                url = "http://127.0.0.1:9"
            if name == "a proxy that refuses":
                monkeypatch.setenv("HTTPS_PROXY", url.replace("//", "//user:password@"))
                url = "https://stripe.invalid"
            async with make_client(base_url=url, limits=UNLIMITED) as client:
                with pytest.raises(Transient) as caught:
                    await client.get(asking(), read_page, attempts=3)
                assert client.requests == {"GET /v1/charges": 3}
                return caught.value

    error = run_fast(main())
    assert str(error).startswith("GET /v1/charges: no whole answer from ")
    assert str(error).endswith("(given up after 3 attempts)")
    logging.getLogger("test").error("failed", exc_info=error)
    said: list[str] = [caplog.text]
    cause: BaseException | None = error
    while cause is not None:
        said += [str(cause), repr(cause), repr(vars(cause)), *traceback.format_exception(cause)]
        cause = cause.__cause__ or cause.__context__
    assert not [text for text in said if "51Habc" in text or "user:password" in text]
