"""What a match demands of its picture: the strictest of the demands of the request, the policy and the device. Pure.

The limits of both levels of quality must be met, of the policy's and of the device's.
"""

from contract.people.site import DeviceRecord
from contract.requests import MatchRequest
from contract.terms import LIVENESS_ORDER, LivenessMode
from engine.look import Beside, Wanted
from engine.policy import Policy


def wanted_of(request: MatchRequest, policy: Policy, device: DeviceRecord | None) -> Wanted:
    """Return the parameters of the look at the picture of a request. `device`: the registered device that asks."""
    return Wanted(
        min_face_size=max(request.min_face_size, policy.min_face_size, device.min_face_size if device else 0),
        face=policy.face,
        beside=_beside(request, policy),
        quality_levels=(policy.match_quality, (device and device.quality_level) or "no"),
        liveness=_liveness(request, policy, device),
        infrared=request.ir_picture,
        attributes=request.with_attribute,
    )


def _beside(request: MatchRequest, policy: Policy) -> Beside:
    """Return whose faces are searched for beside the one that counts."""
    if request.match_all_faces:
        return "all"
    return "rival" if policy.face == "chosen" else "nobody"


def _liveness(request: MatchRequest, policy: Policy, device: DeviceRecord | None) -> LivenessMode:
    """Return the strictest of the requested mode, the least modes of the policy and of the device, and liveness_rgb_ir
    where the request contains an infrared picture."""
    wanted = [request.liveness_mode, policy.liveness_floor]
    if device is not None and device.liveness_floor is not None:
        wanted.append(device.liveness_floor)
    if request.ir_picture is not None:
        wanted.append("liveness_rgb_ir")
    return max(wanted, key=LIVENESS_ORDER.index)
