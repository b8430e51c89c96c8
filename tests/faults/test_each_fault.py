"""Each fault alone, once and for ever: the mirror equals the account afterwards, at the price of the attempts that failed.

All faults at all requests are in `tests/histories`; here each request of two small syncs meets one, and each fault some.
"""

from pathlib import Path

import pytest
from faults.small import BEGIN, WHOLE, assert_equal_at_the_price_of_what_failed, without_faults
from faults.lasting import assert_told_and_mended, places

from stripe_assets.simulator.faults import NAMES

ONCE = [(which, number, fault) for which, number, fault in ()]
