"""Builds the model set of an engine from opened networks."""

from collections.abc import Callable

from engine.vision.networks.arcface import ArcFaceEmbedder
from engine.vision.networks.centerface import CenterFace
from engine.vision.networks.headpose import BinnedHeadPose
from engine.vision.networks.landmarks import refine_landmarks
from engine.vision.networks.live import LivenessNetwork
from engine.vision.networks.points68 import SixtyEightPoints
from engine.vision.networks.ssrnet import SsrNet
from engine.vision.ports import Face, Image, ModelSet
from engine.vision.tensor import Run
from models.errors import NotInstalled
from models.manifest import OPTIONAL_ROLES, REQUIRED_ROLES, Manifest, Role, is_needed

OLDEST = 101.0
"""The upper end of the age network's range, in years."""


def build_model_set(
    manifest: Manifest, open_network: Callable[[Role], Run], identity: Callable[[Role], str]
) -> ModelSet:
    """Return the model set of a manifest; optional networks that are not installed are left out.

    Args:
        manifest: defines the input of each network.
        open_network: opens the network of a role (`ModelStore.open`).
        identity: returns the identity of a role's network (`ModelStore.identity`).

    Raises:
        ModelError: a network cannot be opened, or the manifest's curves were measured with another embedder.
    """
    detector = CenterFace(open_network("detector"), manifest.network("detector"))

    points = SixtyEightPoints(open_network("landmarks"), manifest.network("landmarks"))

    def refine(image: Image, face: Face) -> Face:
        return refine_landmarks(image, face, detector, points)

    def opened(role: Role) -> Run | None:
        if not manifest.offers(role):
            return None
        try:
            return open_network(role)
        except NotInstalled:
            if is_needed(manifest.network(role)):
                raise
            return None

    optional = {role: run for role in OPTIONAL_ROLES if (run := opened(role)) is not None}
    return ModelSet(
        detector=detector,
        embedder=ArcFaceEmbedder(open_network("embedder"), manifest.embedder_of(identity("embedder")), refine),
        liveness=LivenessNetwork(open_network("liveness"), manifest.network("liveness")),
        pose=BinnedHeadPose(open_network("pose"), manifest.network("pose")),
        identities=tuple((role, identity(role)) for role in (*REQUIRED_ROLES, *optional)),
        infrared_liveness=LivenessNetwork(optional["infrared_liveness"], manifest.network("infrared_liveness"))
        if "infrared_liveness" in optional
        else None,
        age=SsrNet(optional["age"], manifest.network("age"), OLDEST) if "age" in optional else None,
        sex=SsrNet(optional["sex"], manifest.network("sex"), 1.0) if "sex" in optional else None,
    )
