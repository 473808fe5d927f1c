"""What leaves the engine about one request: the answer to who asked, and the event for everybody else.

Both are made from the same decision, so they cannot disagree.
"""

from engine.report.common import Circumstances, cloud_event_headers, refused_answer, unreadable_event
from engine.report.comparison import compare_answer, compare_event
from engine.report.fiqa import fiqa_answer, fiqa_event
from engine.report.match import match_answer, match_event, shown_candidate
from engine.report.person import person_event

__all__ = [
    "Circumstances",
    "cloud_event_headers",
    "compare_answer",
    "compare_event",
    "fiqa_answer",
    "fiqa_event",
    "match_answer",
    "match_event",
    "person_event",
    "refused_answer",
    "shown_candidate",
    "unreadable_event",
]
