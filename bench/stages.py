"""Times the engine's own pipeline stage by stage, on one thread."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from contract.requests import MatchRequest
from engine.calls.match import MatchCall
from engine.calls.matching import MatchDecision
from engine.context import Context
from engine.gallery.people import Snapshot
from engine.policy import LivenessLimits, Policy, QualityLimits
from engine.timing import Clock
from engine.vision.ports import Face, HeadPose, Image, ModelSet, PoseNet

ALL_BUT_LIVENESS = "all but liveness"
"""Every stage with every quality item measured, head pose included; no liveness, and no attributes: a sender has to ask
for them."""

DEFAULT = "default settings"
"""What a PictureMatch costs whose sender asked for nothing and whose site has changed nothing."""

_MEASURE_ALL = QualityLimits(
    face_size_px=0.0, headpose_degrees=1000.0, partial=1.0, brightness=(0.0, 255.0), clarity=0.0, mask=0.0
)
"""Limits that every face keeps, so that each item is measured and none ends the matter."""

_TAKE_ALL = LivenessLimits(rgb_moire=1000.0, rgb_frame=1.0)
"""The same for liveness."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Milliseconds over many pictures."""

    median_ms: float
    p95_ms: float


def spread_of(spent_ms: Sequence[float]) -> Spread:
    """Median and 95th percentile."""
    return Spread(float(np.median(spent_ms)), float(np.percentile(spent_ms, 95)))


class StageBench:
    """Decides pictures one after the other and keeps what each stage took."""

    def __init__(self, models: ModelSet, snapshot: Snapshot, max_pixels: int, clock: Clock) -> None:
        """`clock` tells seconds: of the wall, or of this thread's processor time."""
        self._pose = _TimedPose(models.pose, clock)
        self._models = replace(models, pose=self._pose)
        self._snapshot, self._max_pixels, self._clock = snapshot, max_pixels, clock
        self._full = Policy(
            match_quality="custom", custom_quality=_MEASURE_ALL, liveness_threshold=0.0, liveness_limits=_TAKE_ALL
        )

    def run(self, jpegs: Sequence[bytes]) -> tuple[dict[str, list[float]], int]:
        """Stage -> milliseconds of each picture, in the order of the pipeline; and how many pictures were refused."""
        spent: dict[str, list[float]] = {}
        refused = 0
        for jpeg in jpegs:
            full, stages = self._decide(jpeg, self._full)
            pose_ms = self._pose.spent_ms
            live, with_liveness = self._decide(jpeg, self._full, liveness=True)
            plain, by_default = self._decide(jpeg, Policy())
            if full.refusal or live.refusal or plain.refusal:
                refused += 1
                continue
            stages["pose"] = pose_ms
            stages["quality"] -= pose_ms
            # A photo that was decoded small is decoded again for liveness.
            stages["liveness"] = with_liveness["liveness"] + with_liveness["decode"] - stages["decode"]
            stages[ALL_BUT_LIVENESS] = stages.pop("")
            stages[DEFAULT] = by_default[""]
            for stage, value in stages.items():
                spent.setdefault(stage, []).append(value)
        return spent, refused

    def run_without_face(self, jpegs: Sequence[bytes]) -> tuple[dict[str, list[float]], int]:
        """The same for pictures in which nobody is: what is done until that is known; and in how many somebody was."""
        spent: dict[str, list[float]] = {}
        others = 0
        for jpeg in jpegs:
            decision, stages = self._decide(jpeg, Policy())
            if decision.outcome != "no_face":
                others += 1
                continue
            stages[DEFAULT] = stages.pop("")
            for stage, value in stages.items():
                spent.setdefault(stage, []).append(value)
        return spent, others

    def _decide(self, jpeg: bytes, policy: Policy, *, liveness: bool = False) -> tuple[MatchDecision, dict[str, float]]:
        """The decision, and stage -> milliseconds, the whole under ""."""
        request = MatchRequest(
            request_id="r",
            device_ip="d",
            picture=jpeg,
            compare_time_s=0.0,
            received_time_s=0.0,
            liveness_mode="liveness_rgb" if liveness else "liveness_off",
        )
        began = self._clock()
        decision = MatchCall().decide(
            request, self._snapshot, Context(self._models, policy, self._max_pixels, self._clock)
        )
        whole_ms = (self._clock() - began) * 1000.0
        return decision, {**decision.timings_ms, "": whole_ms}


class _TimedPose:
    """The pose network, and what its last call took: it runs inside the stage `quality`."""

    def __init__(self, pose: PoseNet, clock: Clock) -> None:
        self._measure, self._clock = pose, clock
        self.spent_ms = 0.0

    def __call__(self, image: Image, face: Face) -> HeadPose:
        """The angles of that face's head."""
        began = self._clock()
        angles = self._measure(image, face)
        self.spent_ms = (self._clock() - began) * 1000.0
        return angles
