"""Where the slots of an account are shared, by an address: on this machine, or in a Redis or PostgreSQL server for several machines."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from stripe_assets.errors import ConfigurationError
from stripe_assets.limits.guard import Sharing
from stripe_assets.limits.registers import Address, Register, Unreachable
from stripe_assets.limits.shared_file import SharedFile
from stripe_assets.limits.shared_server import SharedServer

EXTRAS = {"redis": "redis", "rediss": "redis", "postgresql": "postgres", "postgres": "postgres"}
"""Scheme of an address, and the extra that its client comes with."""


def open_sharing(address: str, *, account: str, folder: Path) -> Sharing:
    """Open what `address` names for one account; `local` keeps a file in `folder`.

    Raises `ConfigurationError` if the address is none of `local`, `redis://...`, `rediss://...` and `postgresql://...`, if the
    client is not installed or the server does not answer. No error shows a password.
    """
    if address == "local":
        return SharedFile(folder, account)
    server = address_of(address)
    extra = EXTRAS[server.url.partition(":")[0]]
    try:
        return SharedServer(_register(server, extra, account))
    except ImportError as error:
        text = f"Sharing slots through {server.shown} needs a package that is not installed: pip install 'stripe-assets[{extra}]'"
        raise ConfigurationError(text) from error
    except Unreachable as error:
        text = f"{server.shown} cannot share the slots ({error}): start it, mend its address, or use 'local'"
        raise ConfigurationError(text) from error


def _register(server: Address, extra: str, account: str) -> Register:
    """Import a client only when it is used: each is an extra."""
    if extra == "redis":
        from stripe_assets.limits.register_redis import RedisRegister

        return RedisRegister(server, account=account)
    from stripe_assets.limits.register_postgres import PostgresRegister

    return PostgresRegister(server, account=account)


def address_of(address: str) -> Address:
    """Take an address apart. What cannot be taken apart is not shown: it may hold a password in any place."""
    try:
        parts = urlsplit(address)
        place = f"{parts.hostname or 'localhost'}{f':{parts.port}' if parts.port else ''}{parts.path}"
        is_whole = parts.scheme in EXTRAS and "@" not in place + parts.query + parts.fragment
    except ValueError:
        is_whole = False
    if not is_whole:
        text = "The address for sharing slots is not understood: it is 'local', redis://HOST:PORT/0, rediss://... or postgresql://HOST:PORT/NAME"
        raise ConfigurationError(f"{text}, and special characters of a password are written as %40 for @")
    passwords = (parts.password, unquote(parts.password)) if parts.password else ()
    return Address(address, f"{parts.scheme}://{place}", passwords)
