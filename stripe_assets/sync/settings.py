"""What a run needs to be told: from the environment, from Dagster's resources, or from a test.

Nothing is read at import. The key is never part of a `repr`.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from urllib.parse import urlsplit

from stripe_assets.catalog.types import Catalog
from stripe_assets.errors import ConfigurationError
from stripe_assets.limits.limiter import MOST_IN_FLIGHT, Limits

API_BASE = "https://api.stripe.com"
LIVE_LIMIT, SANDBOX_LIMIT, ENDPOINT_LIMIT = 100.0, 25.0, 25.0
"""Requests per second that Stripe allows: https://docs.stripe.com/rate-limits."""
ALL_ACCOUNTS = "all"
CONNECTED = re.compile(r"acct_\w+")
LOCAL = "local"
"""All processes of this machine share each account's allowance; an address of a server shares it between machines."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where to read, where to write, how fast. `rate_limit` (requests per second) none: what the key allows.

    `limiter` says who else counts: `local`, or the address of a Redis or PostgreSQL server. `accounts` are the ids of connected
    accounts that are mirrored besides the key's own, or `all`. `exclude_columns` and `hash_columns` are private
    (`charges.billing_details.email`); whether there are such is for the catalog to say.
    """

    api_key: str = field(repr=False)
    api_base: str = API_BASE
    duckdb: Path = Path("data/stripe.duckdb")
    rate_limit: float | None = None
    rate_share: float = 1.0
    limiter: str = field(default=LOCAL, repr=False)  # its address may hold a password
    keep_raw: bool = True
    accounts: tuple[str, ...] = ()
    exclude_columns: tuple[str, ...] = ()
    hash_columns: tuple[str, ...] = ()
    hash_key: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        """Raise `ConfigurationError` for what cannot work."""
        if not self.api_key.startswith(("sk_", "rk_")):
            raise ConfigurationError(
                "STRIPE_API_KEY is not a secret or restricted key (sk_... or rk_...): "
                "copy one from the Stripe dashboard, under Developers, API keys"
            )
        if not all("!" <= letter <= "~" for letter in self.api_key):
            raise ConfigurationError("STRIPE_API_KEY contains characters that no key has: copy it again")
        if not _is_address(self.api_base):
            raise ConfigurationError(f"STRIPE_API_BASE is not an address: {self.api_base!r}; leave it out for Stripe itself")
        if not 0 < self.rate_share <= 1:
            raise ConfigurationError(f"STRIPE_RATE_SHARE is {self.rate_share:g}: give the part of the limit to take, above 0 and up to 1")
        if self.rate_limit is not None and not 0 < self.rate_limit < inf:
            raise ConfigurationError(f"STRIPE_RATE_LIMIT is {self.rate_limit:g}: give requests per second, above 0")
        if self.accounts != (ALL_ACCOUNTS,):
            for account in self.accounts:
                if not CONNECTED.fullmatch(account):
                    hint = "give 'all', or ids like acct_1Nv0FGQ9RKHgCVdK with commas between"
                    raise ConfigurationError(f"STRIPE_ACCOUNTS names {account!r}: {hint}")

    @property
    def live(self) -> bool:
        """Whether the key is for real money; a sandbox has test clocks besides."""
        return self.api_key.startswith(("sk_live_", "rk_live_"))

    def allowance_of(self, account_id: str) -> str:
        """Name an account's allowance to all who share it; a simulated account is another one on each server."""
        return account_id if self.api_base.rstrip("/") == API_BASE else f"{account_id} at {urlsplit(self.api_base).netloc}"

    def limits(self, *, lifted: bool = False, part: float = 1.0) -> Limits:
        """Give the rates to keep: by the key, unless set; none at all if `lifted`. `part` of the connections are for this account."""
        in_flight = max(1, int(MOST_IN_FLIGHT * part))
        if lifted:
            return Limits(None, None, in_flight)
        account = (self.rate_limit or (LIVE_LIMIT if self.live else SANDBOX_LIMIT)) * self.rate_share
        return Limits(account, min(account, ENDPOINT_LIMIT * self.rate_share), in_flight)


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Read the settings from environment variables. Raises `ConfigurationError`, which never quotes the key."""
    return Settings(
        api_key=_key(environment),
        api_base=environment.get("STRIPE_API_BASE") or API_BASE,
        duckdb=duckdb_path(environment),
        rate_limit=_number(environment, "STRIPE_RATE_LIMIT"),
        rate_share=1.0 if (share := _number(environment, "STRIPE_RATE_SHARE")) is None else share,
        limiter=environment.get("STRIPE_LIMITER") or LOCAL,
        keep_raw=_flag(environment, "STRIPE_KEEP_RAW", default=True),
        accounts=accounts_named(environment),
        exclude_columns=_list(environment, "STRIPE_EXCLUDE_COLUMNS"),
        hash_columns=_list(environment, "STRIPE_HASH_COLUMNS"),
        hash_key=environment.get("STRIPE_HASH_KEY", "").strip(),
    )


def accounts_named(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Say which connected accounts are mirrored besides the key's own."""
    return _list(environment, "STRIPE_ACCOUNTS")


def duckdb_path(environment: Mapping[str, str]) -> Path:
    """Say where the mirror is."""
    return Path(environment.get("STRIPE_DUCKDB") or "data/stripe.duckdb")


def known_types(catalog: Catalog, names: Iterable[str]) -> frozenset[str]:
    """Give the named types, all without names. Raises `ConfigurationError` for one that does not exist."""
    wanted = frozenset(names)
    for name in sorted(wanted - set(catalog.names)):
        near = difflib.get_close_matches(name, catalog.names, n=1, cutoff=0.8) or (
            [known for known in catalog.names if name and name in known] or difflib.get_close_matches(name, catalog.names, cutoff=0.5)
        )
        hint = f"did you mean {' or '.join(near[:3])}?" if near else f"docs/types.md lists all {len(catalog.names)}"
        raise ConfigurationError(f"there is no type {name!r}: {hint}")
    return wanted or frozenset(catalog.names)


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False  # a port that is no number, or a bracket left open


def _key(environment: Mapping[str, str]) -> str:
    if key := environment.get("STRIPE_API_KEY", "").strip():
        return key
    if path := environment.get("STRIPE_API_KEY_FILE"):
        try:
            return Path(path).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"STRIPE_API_KEY_FILE names {path}, which cannot be read ({error.__class__.__name__})") from error
    raise ConfigurationError(
        "there is no key: set STRIPE_API_KEY, or STRIPE_API_KEY_FILE to a file that holds it; `stripe-assets demo` needs none"
    )


def _number(environment: Mapping[str, str], name: str) -> float | None:
    text = environment.get(name)
    if not text:
        return None
    try:
        return float(text)
    except ValueError as error:
        raise ConfigurationError(f"{name} is {text!r}: give a number") from error


def _list(environment: Mapping[str, str], name: str) -> tuple[str, ...]:
    """Read a list with commas or spaces between; what stands there twice counts once."""
    return tuple(dict.fromkeys(environment.get(name, "").replace(",", " ").split()))


def _flag(environment: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = environment.get(name, "").lower()
    if text in ("", "true", "1", "yes", "on", "false", "0", "no", "off"):
        return default if not text else text in ("true", "1", "yes", "on")
    raise ConfigurationError(f"{name} is {text!r}: give true or false")
