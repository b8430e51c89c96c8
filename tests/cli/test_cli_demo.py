"""The demo goes the whole way: mirror, models, figures, picture, next steps."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Start


def test_the_demo_shows_what_came_out(start: Start, tmp_path: Path) -> None:
    """On a file that an earlier demo left: running it twice in a row works. Nobody's key or file is used."""
    from stripe_assets.commands.demo import make_anew

    (tmp_path / "data").mkdir()
    make_anew(tmp_path / "data" / "demo.duckdb")
    process = start("demo", "--customers", "6", STRIPE_API_KEY="", STRIPE_API_BASE="http://127.0.0.1:9")
    out, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert re.search(r"^customers +complete +[1-9]\d* ", out, re.MULTILINE)
    assert "/s of 100 allowed" in out
    assert "month    currency" in out
    assert "MRR in " in out
    assert "█" in out
    assert "STRIPE_DUCKDB=data/demo.duckdb stripe-assets status" in out
    assert not (tmp_path / "data" / "stripe.duckdb").exists()
