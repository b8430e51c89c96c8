"""What an account or a key is not allowed, switched while the simulator runs: products, permissions, ways to ask."""

from stripe_assets.simulator.endpoints import Endpoint
from stripe_assets.simulator.replies import Refusal

WORDS = ("payment-methods-need-customer", "hide-archived-prices")
_FORBIDDEN = frozenset({"forwarding", "sigma"})
"""Products whose absence is answered as a lack of permission."""


class Switches:
    """Everything is allowed until it is switched off."""

    def __init__(self) -> None:
        self.products_off: set[str] = set()
        self.payment_methods_need_customer = False
        self.archived_prices_hidden = False
        self.forbidden: dict[str, set[str]] = {}
        """By key, what it may not read any more: names as in `Keys`."""

    def product(self, name: str, *, on: bool) -> None:
        """Switch a product: by its name in the path (`issuing`, `v2`) or by a prefix of paths (`/v2/core/accounts`)."""
        (self.products_off.discard if on else self.products_off.add)(name)

    def forbid(self, key: str, resource: str) -> None:
        """Take the permission to read a resource from a key."""
        self.forbidden.setdefault(key, set()).add(resource)

    def turn(self, word: str, *, on: bool) -> None:
        """Turn one of `WORDS`. Raises `ValueError` for another word."""
        if word not in WORDS:
            raise ValueError(f"there is no switch {word}; there are: {', '.join(WORDS)}")
        if word == "hide-archived-prices":
            self.archived_prices_hidden = on
        else:
            self.payment_methods_need_customer = on

    def admit(self, endpoint: Endpoint) -> None:
        """Refuse what belongs to a product that is off."""
        for name in self.products_off:
            prefix = name if name.startswith("/") else "/v2" if name == "v2" else f"/v1/{name}"
            if endpoint.path == prefix or endpoint.path.startswith(f"{prefix}/"):
                status = 403 if name in _FORBIDDEN else 400
                raise Refusal(status, f"Your account is not set up to use {name.strip('/')}: it is not enabled.")
