"""After any history of changes, faults and ends in the middle, a run that completes leaves the mirror equal to the account."""

from pathlib import Path

from histories.business import History


def test_after_any_history_the_mirror_equals_the_account(tmp_path: Path, history: int) -> None:
    """Column by column, deletions included; and a further run asks for nothing that is there."""
    lived = History(history, tmp_path)
    lived.live()
    summary = lived.come_to_rest()
    assert summary.complete, (lived.told, [result for result in summary.results if result.state != "complete"])
    assert lived.differences() == [], lived.told
    again = lived.sync_again()
    assert lived.differences() == [], lived.told
    assert [asked for asked in again if "created[" not in asked and "/v1/" in asked and asked.split()[0].count("/") == 2] == [], lived.told
