"""The infrared picture of a call: it is decoded once, and its faces are detected once, however many faces and colour
pictures are compared with it."""

from functools import cached_property

from contract.errors import PictureRefused, Refusal, Refused
from engine.timing import StageTimer
from engine.vision.decode.versions import Versions
from engine.vision.finding import reduction_for
from engine.vision.liveness.colour_spread import colour_spread
from engine.vision.ports import Detector, Embedder, Embedding, Face, Image
from engine.vision.turned import turn

FIELD = "ir_image_base64"
"""The request's field, which is put before the message of every refusal of the infrared picture."""


class InfraredImage:
    """A decoded and upright infrared picture with everything that does not depend on the face compared with it.

    Each value is computed when it is first read, so that its time counts for the stage that needs it.
    """

    def __init__(self, image: Image, detector: Detector) -> None:
        self.image = image
        self._detector = detector
        self._embeddings: dict[int, Embedding | None] = {}

    @cached_property
    def faces(self) -> tuple[Face, ...]:
        """All faces of the image, the largest first."""
        return tuple(self._detector(self.image))

    @cached_property
    def spread(self) -> float:
        """The difference between the colour channels, in grey values (`colour_spread`)."""
        return colour_spread(self.image)

    def embedding(self, face: Face, embedder: Embedder) -> Embedding | None:
        """Return the embedding of one of `faces`; None where it has none. Every call must pass the same embedder."""
        place = next(place for place, one in enumerate(self.faces) if one is face)
        if place not in self._embeddings:
            try:
                self._embeddings[place] = embedder(self.image, face)
            except PictureRefused:
                self._embeddings[place] = None
        return self._embeddings[place]


class InfraredPicture:
    """The infrared picture of a call, as it was sent.

    `refusal`: why it cannot be read; None as long as nothing is known against it.
    """

    def __init__(self, picture: bytes, max_pixels: int, detector: Detector) -> None:
        self._versions, self._detector = Versions(picture, max_pixels), detector
        self._decoded: Image | None = None
        self._turned: dict[int, InfraredImage] = {}
        self.refusal: Refusal | None = None

    def turned(self, quarter_turns: int, face_share: float, timer: StageTimer) -> InfraredImage:
        """Return the picture turned counterclockwise by that many quarter turns; its faces are detected once for each
        number of turns, which is the same for all pictures of one device.

        `face_share`: the shorter side of the largest face of the colour picture, as a share of that picture's longer
        side. The first call decides with it at which size the picture is decoded.

        Raises:
            Refused: the picture cannot be decoded.
        """
        if self.refusal is not None:
            raise Refused.of(self.refusal)
        quarter_turns %= 4
        if quarter_turns not in self._turned:
            if self._decoded is None:
                with timer.stage("decode"):
                    self._decoded = self._decode(face_share)
            self._turned[quarter_turns] = InfraredImage(turn(self._decoded, quarter_turns), self._detector)
        return self._turned[quarter_turns]

    def _decode(self, face_share: float) -> Image:
        try:
            return self._versions.version(reduction_for(self._versions, face_share))
        except PictureRefused as refused:
            self.refusal = refused.about(FIELD).refusal
            raise Refused.of(self.refusal) from None
