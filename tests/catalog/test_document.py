"""The table of types in the docs is the catalog's."""

from pathlib import Path

import pytest

from stripe_assets.catalog import document
from stripe_assets.catalog.types import load


def test_committed_page_is_what_the_catalog_generates() -> None:
    assert document.FILE.read_text() == document.document(load())
    assert document.main(["--check"]) == 0


def test_check_tells_a_page_that_differs_and_writing_mends_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "types.md"
    assert document.main(["--check"], file=page) == 1
    assert not page.exists()
    assert document.main([], file=page) == 0
    assert document.main(["--check"], file=page) == 0
    page.write_text("edited")
    capsys.readouterr()
    assert document.main(["--check"], file=page) == 1
    assert capsys.readouterr().out == "docs/types.md differs from the catalog\n"


def test_every_type_has_its_line() -> None:
    """Path, parent, what keeps it fresh: what people look up before they ask."""
    lines = {line.split("`")[1]: line for line in document.FILE.read_text().splitlines() if line.startswith("| `")}
    assert lines.keys() == set(load().names)
    assert "`/v1/invoices/{invoice}/lines` | `invoices`, inside `lines` | its parent" in lines["invoice_lines"]
    assert "where the account refuses the list" in lines["payment_methods"]
    assert "a row per sync" in lines["balance"]
