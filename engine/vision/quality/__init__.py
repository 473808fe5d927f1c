"""The quality of a face for recognition: measured items, the limits of each level, and one overall score.

items      the measurement of each item
levels     the limits of each level, and the comparison of items with them
sharpness  the item clarity, measured by blurring the face once more
mouth      the item mask: whether the mouth is visible
score      the overall score, which predicts failures to match
"""

from engine.vision.quality.items import Measured, cut_share, measure_items
from engine.vision.quality.levels import limits_of, measure_all, measure_quality
from engine.vision.quality.score import quality_score
from engine.vision.quality.sharpness import clarity

__all__ = [
    "Measured",
    "clarity",
    "cut_share",
    "limits_of",
    "measure_all",
    "measure_items",
    "measure_quality",
    "quality_score",
]
