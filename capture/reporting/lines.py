"""A row of a report as one line of text. Pure."""

from capture.reporting.values import ReportedRow, Shown
from clients.answers import code_name


def row_line(row: ReportedRow) -> str:
    """Return a line about a reported row; its texts come from devices and are not safe for a terminal."""
    remark = "" if row.remark is None else f" (remark: {row.remark})"
    return f"line {row.line} ({row.request_id}): {_result(row)}{remark}"


def _result(row: ReportedRow) -> str:
    if row.status == "could_not_run":
        return str(row.trouble)
    now = "nothing" if row.now is None else shown_text(row.now)
    if row.status == "same":
        return f"same: {now}"
    what = f"{then_text(row)}; now {now}"
    if row.status == "not_compared":
        return f"not compared: {what}"
    differing = "; ".join(f"{d.what} was {_value(d.then)}, is {_value(d.now)}" for d in row.differences)
    return f"{row.kind}: {what} [{differing}]"


def then_text(row: ReportedRow) -> str:
    """Return the decision of then in words, or the expectation that stands in for it."""
    if row.then is not None:
        return shown_text(row.then)
    if row.expected is None:
        return "nothing"
    return f'expected "{row.expected}"' if row.expected else "expected a stranger"


def shown_text(decision: Shown) -> str:
    """Return a decision in words: matched "7", score 0.5210, threshold 0.4800, margin +0.0410."""
    words = [decision.outcome]
    if decision.identity_id:
        words[0] += f' "{decision.identity_id}"'
    if decision.error_code is not None:
        words.append(code_name(decision.error_code))
    for name in ("score", "threshold"):
        value = getattr(decision, name)
        if value is not None:
            words.append(f"{name} {value:.4f}")
    if decision.margin is not None:
        words.append(f"margin {decision.margin:+.4f}")
    return ", ".join(words)


def _value(value: str | float | None) -> str:
    if value is None:
        return "none"
    return f"{value:.4f}" if isinstance(value, float) else f'"{value}"'
