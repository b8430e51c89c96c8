"""The picture of MRR shows the figures that it was given, to an eighth of a line."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from stripe_assets.commands.picture import Month, eighths, picture, spark


def months(*amounts: str, first: int = 1) -> list[Month]:
    return [Month(date(2026, first + place, 1), Decimal(amount)) for place, amount in enumerate(amounts)]


def test_the_first_currency_is_drawn_large_and_the_others_as_a_line() -> None:
    series = {"usd": months("0", "50", "75", "100"), "jpy": months("1500", "3000", first=3)}
    assert picture(series, decimals={"usd": 2, "jpy": 0}, height=2) == [
        "MRR in USD, at each month's end: 100.00 in April 2026",
        "",
        "100 ┤       ▄▄ ██",
        "    ┤    ██ ██ ██",
        "  0 ┼────────────",
        "      Jan 26   Apr",
        "",
        "JPY    ▄█  3,000 in Apr 2026",
    ]


def test_what_is_above_nothing_is_never_drawn_as_nothing() -> None:
    assert eighths(Decimal("0.01"), Decimal(1000), 8) == 1
    assert spark([Decimal(0), Decimal("0.01"), Decimal(1000)]) == " ▁█"


def test_without_figures_there_is_no_picture() -> None:
    assert picture({}, decimals={}) == []
    assert picture({"usd": []}, decimals={}) == []


def test_a_currency_without_mrr_is_an_empty_chart() -> None:
    assert "█" not in "".join(picture({"usd": months("0", "0")}, decimals={"usd": 2}))


def test_only_the_last_two_years_are_drawn() -> None:
    long = [Month(date(2023 + place // 12, place % 12 + 1, 1), Decimal(1)) for place in range(40)]
    assert max(len(line) for line in picture({"usd": long}, decimals={"usd": 2})) <= 80
