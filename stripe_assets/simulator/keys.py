"""Who may ask: API keys, what a restricted one may not read, and the versions and accounts named in headers."""

import base64
import binascii
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from stripe_assets.simulator.account import Account
from stripe_assets.simulator.endpoints import Endpoint
from stripe_assets.simulator.replies import Refusal
from stripe_assets.simulator.switches import Switches

DEFAULT_KEY = "sk_test_simulator"

Keys = Mapping[str, AbstractSet[str] | None]

_OWN = re.compile(r"sk_(test|live)_\w*simulator\w*")
_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(\.[a-z]+)?(;.*)?")
_TAIL = 4


class Door:
    """Lets requests in, or refuses them."""

    def __init__(self, keys: Keys | None, account: Account, switches: Switches) -> None:
        self._keys: Keys = {DEFAULT_KEY: None} if keys is None else keys
        self._account = account
        self._switches = switches

    def admit(self, headers: Mapping[bytes, bytes], endpoint: Endpoint | None) -> Account:
        """Check key, permission, version and account of a request; give the account that it is about."""
        key = _key(headers.get(b"authorization", b"").decode("latin-1"))
        if not key:
            raise Refusal(401, "You did not provide an API key. Send it as a bearer token in the Authorization header.")
        if key not in self._keys and not _OWN.fullmatch(key):
            raise Refusal(401, f"Invalid API Key provided: {_masked(key)}")
        forbidden = {*(self._keys.get(key) or ()), *self._switches.forbidden.get(key, ())}
        if endpoint is not None and endpoint.resources & forbidden:
            raise Refusal(
                403,
                f"The provided key '{_masked(key)}' does not have the required permissions for this endpoint on account "
                f"'{self._account.id}'. Having the '{endpoint.permission}' permission would allow this request to continue.",
                code="more_permissions_required_for_application",
            )
        version = headers.get(b"stripe-version")
        if version is not None and not _VERSION.fullmatch(version.decode("latin-1")):
            raise Refusal(400, f"Invalid Stripe API version: {version.decode('latin-1')}")
        named = headers.get(b"stripe-account", b"").decode("latin-1")
        if not named or named == self._account.id:
            return self._account
        linked = self._account.linked(named)
        if linked is None:
            raise Refusal(
                403,
                f"The provided key '{_masked(key)}' does not have access to account '{named}' (or that account does not exist).",
                code="account_invalid",
            )
        return linked


def _key(authorization: str) -> str:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value).decode("latin-1").partition(":")[0]
        except (binascii.Error, ValueError):
            return ""
    return value.strip() if scheme.lower() == "bearer" else ""


def _masked(key: str) -> str:
    head = "_".join(key.split("_")[:2]) + "_" if key.count("_") >= 2 else ""
    return f"{head}{'*' * 12}{key[-_TAIL:] if len(key) > len(head) + 2 * _TAIL else ''}"
