"""What became of the pictures of a request with several, in words. Pure."""

from collections.abc import Iterator, Sequence

from contract.findings import PassagePicture

_WHY = {
    "image_error": "it could not be used",
    "no_face": "no face was found in it",
    "low_quality": "the quality of its face is too low",
    "other_person": "its face is not similar enough to the person of the best picture",
    "repeated": "it is the same as an earlier one",
    "spoof": "its face was not accepted as live, so that no picture was accepted",
    "refused": "the request was refused, because of another picture or of the infrared one",
    "not_looked_at": "nothing looked at it, because the request was refused before",
}


def passage_words(pictures: Sequence[PassagePicture]) -> Iterator[str]:
    """Yield sentences about several pictures of one passage; the pictures are counted from 1."""
    if not pictures:
        return
    used = [picture for picture in pictures if picture.left_out is None]
    best = next((picture.number + 1 for picture in pictures if picture.best), None)
    if len(used) > 1:
        yield f"The mean of {len(used)} of {len(pictures)} pictures was compared; the best one is picture {best}."
    elif used:
        yield f"Of {len(pictures)} pictures only picture {best} was compared."
    else:
        yield f"None of {len(pictures)} pictures was compared."
    for picture in pictures:
        if picture.left_out is not None:
            why = _WHY.get(picture.left_out, picture.left_out)
            yield f"Picture {picture.number + 1} was left out: {why}."
