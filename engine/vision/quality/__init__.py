"""The quality of a face for recognition: items measured, held against the limits of a level, and one overall score.

items      what is measured, one item at a time
levels     the limits of each level, and the verdicts
sharpness  clarity, by blurring once more
mouth      whether a mouth shows: the item mask
score      the overall score that predicts failure to match
"""

from engine.vision.quality.items import Measured, cut_share, measure_items
from engine.vision.quality.levels import hold, limits_of, measure_all, measure_quality
from engine.vision.quality.score import quality_score
from engine.vision.quality.sharpness import clarity

__all__ = [
    "Measured",
    "clarity",
    "cut_share",
    "hold",
    "limits_of",
    "measure_all",
    "measure_items",
    "measure_quality",
    "quality_score",
]
