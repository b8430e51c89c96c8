"""What a meter counted for a customer, a day at a time: the one list that is asked for by two parents and a stretch of time."""

from stripe_assets.simulator.filters import Question, whole
from stripe_assets.simulator.periods import DAY
from stripe_assets.simulator.replies import Refusal


def narrow(question: Question, meter: str) -> str:
    """Read customer and time of a question, and give what the summaries lie under. Sums are kept by whole days only."""
    asked = {name: values[0][1] for name, values in question.filters.items()}
    begin, end = (whole(asked[name], name) for name in ("start_time", "end_time"))
    if asked.get("value_grouping_window") != "day":
        raise Refusal(400, "This simulator keeps sums by the day.", param="value_grouping_window")
    for name, at in (("start_time", begin), ("end_time", end)):
        if at % DAY:
            raise Refusal(400, f"{name} must be aligned with the beginning of a UTC day.", param=name)
    question.since, question.until = begin, end - 1
    del question.filters["customer"]
    return place(meter, asked["customer"])


def place(meter: str, customer: str) -> str:
    """Name what the summaries of a meter and a customer lie under."""
    return f"{meter}/{customer}"
