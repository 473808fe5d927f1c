"""Everything that a replay is given, as a value that other processes can receive."""

from collections.abc import Mapping
from dataclasses import dataclass

from capture.replaying.embedder import EmbedderFacts
from capture.replaying.galleries import GalleryChoice
from capture.replaying.listed_pictures import ListedPictures
from capture.replaying.whatif import WhatIf
from engine.policy import Policy


@dataclass(frozen=True, slots=True)
class Given:
    """The parameters of a replay.

    Attributes:
        what_if: what is changed.
        policies: the policies of the capture by id.
        present: the operator's present policy, for decisions whose own policy is not known.
        pinned: the settings that the operator has pinned ("matching.threshold").
        choice: the people.
        installed: the facts about the installed embedder; None: none is known.
        added_embedder: the embedder of the added people; None: nobody is added.
        score_tolerance: scores that differ by at most this count as the same.
        pictures: the pictures of the capture, which every line must have; None: the capture has none.
        keep_going: a line whose picture is missing is a row that could not run, and does not end the replay.
    """

    what_if: WhatIf
    policies: Mapping[str, Policy]
    present: Policy
    pinned: frozenset[str]
    choice: GalleryChoice
    installed: EmbedderFacts | None = None
    added_embedder: str | None = None
    score_tolerance: float = 1e-3
    pictures: ListedPictures | None = None
    keep_going: bool = False
