"""The pipeline that one would write first: the baseline that `bench.engine` runs beside the engine.

The same networks, fed as they ask for; but the picture is decoded by OpenCV in one go, the detector looks at it once at
640 pixels, and embedder and pose network are opened as their packages hold them.
"""

from pathlib import Path

import cv2
import numpy as np

from engine.vision.networks.arcface import ArcFaceEmbedder
from engine.vision.networks.centerface import CenterFace, DetectorPolicy
from engine.vision.networks.headpose import BinnedHeadPose
from models.manifest import Role
from models.network import Network
from models.store import ModelStore
from picturematch.settings import Settings

_LOOK_SIDE = 640


class NaivePipeline:
    """Decode, detect, pose, embed."""

    def __init__(self, settings: Settings, store: ModelStore) -> None:
        self._folder, self._manifest = settings.models.folder, store.manifest
        # The detector's file fixes an input of 10 x 3 x 32 x 32: nobody can run it on a picture unprepared.
        look = DetectorPolicy(look_sides=(_LOOK_SIDE,))
        self._detector = CenterFace(store.open("detector"), self._manifest.network("detector"), look)
        self._embedder = ArcFaceEmbedder(self._unprepared("embedder"), self._manifest.network("embedder"))
        self._pose = BinnedHeadPose(self._unprepared("pose"), self._manifest.network("pose"))

    def _unprepared(self, role: Role) -> Network:
        entry = self._manifest.network(role)
        source = Path(entry.file) if entry.file else self._folder / "sources" / (entry.sha256 or "")
        return Network(source.read_bytes(), entry.outputs)

    def run(self, jpeg: bytes) -> bool:
        """Look at one picture; whether a face was found and embedded."""
        image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            return False
        picture = np.asarray(image, np.uint8)
        faces = self._detector(picture)
        if not faces:
            return False
        self._pose(picture, faces[0])
        self._embedder(picture, faces[0])
        return True
