"""What the assets are configured with: the Stripe account, the mirror's file, and the limits.

Every field may be left empty; then the environment variable of `docs` and README is read, when a run starts. Resources
hold configuration only; the engine that they hand out does the work.
"""

import os

import dagster as dg

from stripe_assets.sync.engine import Mirror
from stripe_assets.sync.settings import Settings, accounts_named, duckdb_path, from_environment


class StripeResource(dg.ConfigurableResource["StripeResource"]):
    """A Stripe account and the DuckDB file that mirrors it. Keys belong in the environment, not in the launchpad."""

    api_key: str | None = None
    api_base: str | None = None
    duckdb: str | None = None
    rate_limit: float | None = None
    rate_share: float | None = None
    limiter: str | None = None
    keep_raw: bool | None = None
    accounts: str | None = None
    exclude_columns: str | None = None
    hash_columns: str | None = None
    hash_key: str | None = None

    def settings(self) -> Settings:
        """Join the fields with the environment. Raises `ConfigurationError`."""
        return from_environment({**os.environ, **self._fields()})

    def accounts_named(self) -> tuple[str, ...]:
        """Say which connected accounts are mirrored besides the key's own, without looking at the key."""
        return accounts_named({**os.environ, **self._fields()})

    def mirror(self) -> Mirror:
        """Give an engine for one run. Raises `ConfigurationError`."""
        return Mirror(self.settings())

    def duckdb_path(self) -> str:
        """Say where the mirror is, as an absolute path."""
        return str(duckdb_path({**os.environ, **self._fields()}).absolute())

    def _fields(self) -> dict[str, str]:
        fields = {
            "STRIPE_API_KEY": self.api_key,
            "STRIPE_API_BASE": self.api_base,
            "STRIPE_DUCKDB": self.duckdb,
            "STRIPE_RATE_LIMIT": self.rate_limit,
            "STRIPE_RATE_SHARE": self.rate_share,
            "STRIPE_LIMITER": self.limiter,
            "STRIPE_KEEP_RAW": self.keep_raw,
            "STRIPE_ACCOUNTS": self.accounts,
            "STRIPE_EXCLUDE_COLUMNS": self.exclude_columns,
            "STRIPE_HASH_COLUMNS": self.hash_columns,
            "STRIPE_HASH_KEY": self.hash_key,
        }
        return {name: str(value) for name, value in fields.items() if value is not None}
