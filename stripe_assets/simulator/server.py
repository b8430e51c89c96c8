"""Serves a simulated account on loopback with uvicorn: in a thread for tests and demos, or in the foreground."""

import asyncio
import contextlib
import random
import signal
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from stripe_assets.simulator.account import Account
from stripe_assets.simulator.delivery import LINE
from stripe_assets.simulator.faults import UNSENT
from stripe_assets.simulator.http import Application, application

HOST = "127.0.0.1"
LIVE_SECONDS = 0.25
"""Real seconds between the changes of a live account."""
LIVE_PACE = 60
"""Simulated seconds per real second of a live account."""


class _Cuttable(HttpToolsProtocol):
    """Lets the application do to its connection what faults of the way do to one."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {LINE: {"close": self.transport.close, "reset": self._reset, "write": self.transport.write}}

    def _reset(self) -> None:
        """Tear the connection: the other end is told so, and not only that there is no more to come."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


class _Server(uvicorn.Server):
    """Uvicorn that says when it has started, and ends on a signal without raising it again."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is threading.main_thread():
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


class Serving:
    """A running simulator: `url`, `port`, `app` and `account`."""

    def __init__(self, account: Account, app: Application, listener: socket.socket, *, live: bool) -> None:
        self.account = account
        self.app = app
        self.port: int = listener.getsockname()[1]
        self.url = f"http://{HOST}:{self.port}"
        self._listener = listener
        self._live = live
        config = uvicorn.Config(
            app, loop="none", http=_Cuttable, ws="none", lifespan="off", log_level="critical", access_log=False, server_header=False,
            date_header=False, timeout_keep_alive=60, timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._server = _Server(config)

    def run(self) -> None:
        """Serve until told to end."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        change = asyncio.create_task(_go_on(self.account)) if self._live else None
        try:
            await self._server.serve(sockets=[self._listener])
        finally:
            self._server.ready.set()
            if change is not None:
                change.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await change

    def wait_until_ready(self) -> None:
        """Wait for the server to answer."""
        self._server.ready.wait()

    def end(self) -> None:
        """Tell the server to end."""
        self._server.should_exit = True


async def _go_on(account: Account) -> None:
    """Let a live account change: its clock runs, and its owner edits, adds and deletes."""
    chance = random.Random(account.now)
    turn = 0
    while True:
        await asyncio.sleep(LIVE_SECONDS)
        turn += 1
        account.advance(LIVE_PACE * LIVE_SECONDS / 86_400)
        with account.lock:
            _meddle(account, chance, turn)


def _meddle(account: Account, chance: random.Random, turn: int) -> None:
    people, coupons = account.store.shelf("customer").order, account.store.shelf("coupon").order
    if people:
        account.edit("customer", people[chance.randrange(len(people))].id, metadata={"visit": str(turn)})
    if turn % 4 == 0:
        account.create("customer")
    if turn % 8 == 0:
        account.create("coupon", percent_off=5)
    if turn % 12 == 0 and coupons:
        account.delete("coupon", coupons[-1].id)


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        sentence = f"port {port} on {HOST} cannot be used ({error.strerror}); choose another, or 0 for any free one"
        raise OSError(error.errno, sentence) from error
    return listener


def _servable(app: Application) -> Application:
    if unserved := UNSENT & app.faults.names:
        raise ValueError(f"no server can serve the fault {', '.join(unserved)}: who meets it does not get as far as to one")
    return app


@contextlib.contextmanager
def serving(account: Account, port: int = 0, live: bool = False, **application_options: Any) -> Iterator[Serving]:
    """Serve an account from a thread for the length of a `with` block; port 0 takes a free one.

    The options are those of `http.application`. `live` lets the account go on changing.
    """
    app = _servable(application(account, **application_options))
    server = Serving(account, app, _listen(port), live=live)
    thread = threading.Thread(target=server.run, name="stripe-simulator", daemon=True)
    thread.start()
    server.wait_until_ready()
    try:
        yield server
    finally:
        server.end()
        thread.join()


def serve(account: Account, port: int = 0, live: bool = False, **application_options: Any) -> None:
    """Serve an account in the foreground until SIGINT or SIGTERM; OSError if the port is taken."""
    app = _servable(application(account, **application_options))
    Serving(account, app, _listen(port), live=live).run()
