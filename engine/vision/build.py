"""Puts opened networks together into the model set of an engine."""

from collections.abc import Callable

from engine.vision.arcface import ArcFaceEmbedder
from engine.vision.centerface import CenterFace
from engine.vision.headpose import BinnedHeadPose
from engine.vision.landmarks import refine_landmarks
from engine.vision.liveness_rgb import RgbLiveness
from engine.vision.ports import Face, Image, ModelSet
from engine.vision.tensor import Run
from models.manifest import REQUIRED_ROLES, Manifest, Role


def build_model_set(
    manifest: Manifest, open_network: Callable[[Role], Run], identity: Callable[[Role], str]
) -> ModelSet:
    """The model set of that manifest.

    Args:
        manifest: says how each network is fed.
        open_network: opens the network of a role (`ModelStore.open`).
        identity: tells the identity of a role's network (`ModelStore.identity`).

    Raises:
        ModelError: a network cannot be opened, or the manifest's curves are of another embedder.
    """
    detector = CenterFace(open_network("detector"), manifest.network("detector"))

    def refine(image: Image, face: Face) -> Face:
        return refine_landmarks(image, face, detector)

    return ModelSet(
        detector=detector,
        embedder=ArcFaceEmbedder(open_network("embedder"), manifest.embedder_of(identity("embedder")), refine),
        liveness=RgbLiveness(open_network("liveness"), manifest.network("liveness")),
        pose=BinnedHeadPose(open_network("pose"), manifest.network("pose")),
        identities=tuple((role, identity(role)) for role in REQUIRED_ROLES),
    )
