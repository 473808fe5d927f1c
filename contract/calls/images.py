"""The declaration of the call that returns the photo of an enrolled face."""

from contract.calls.declaration import Answer, Declaration, Field
from contract.calls.names import IMAGE_ID
from contract.http import IMAGES_PATH

IMAGE = Declaration(
    method="GET",
    path=IMAGES_PATH,
    route="images",
    summary="The photo with which a face was enrolled, as a JPEG (image/jpeg); a failure is the JSON error.",
    fields=(
        Field(
            "image_id",
            IMAGE_ID,
            "The last part of the path: an `image_id` of an answer about a person.",
            required=True,
            example="666666-0",
        ),
    ),
    answers=(Answer(bytes, "/9j/4AAQSkZJRg=="),),
)
