"""A replay in this process: from an opened capture to rows."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

from capture.looks import LooksFile
from capture.reader import CaptureReader
from capture.replaying.adding import add_people
from capture.replaying.chunks import CHUNK_BYTES, cut
from capture.replaying.decide import LookNeeded, Result
from capture.replaying.embedder import EmbedderFacts
from capture.replaying.galleries import GalleryChoice, PeopleRecords, chosen_version
from capture.replaying.given import Given
from capture.replaying.kept_looks import KeptLooks, LooksToKeep
from capture.replaying.listed_pictures import ListedPictures
from capture.replaying.look import Looker, Networks, without_networks
from capture.replaying.policies import read_policies
from capture.replaying.processes import decide_chunks
from capture.replaying.reembed import reembed
from capture.replaying.whatif import WhatIf
from capture.rows import Row, S, SameRows, Summing
from contract.captures.values import CaptureError, PeopleLine
from contract.configs import model_set_record
from engine.context import Context
from engine.policy import Policy
from models.errors import ModelError

_MODEL_SETS = "model-set/"


@dataclass(frozen=True, slots=True)
class Means:
    """What a replay can use besides the capture.

    Attributes:
        present: the operator's present policy, of which `pinned` settings cannot be changed by the site.
        installed: the facts about the installed embedder; None: none is known.
        open_networks: opens the installed networks; raises ModelError where they are not installed.
        jobs: the number of processes and threads.
    """

    present: Policy
    pinned: frozenset[str]
    installed: EmbedderFacts | None
    open_networks: Callable[[], Networks]
    jobs: int


class Replay:
    """A replay of one capture. `notes` are sentences that belong into its report.

    `other`: the capture whose people are searched instead. `skips_photos`: a face whose photo must be embedded, and of
    which the capture does not have it, is left out and noted, and is no error.

    Raises:
        CaptureError: the capture, or the other one, cannot be used for what is asked.
        ModelError: networks that are needed for every row are not installed.
        CannotRun: the people to add cannot be read.
    """

    def __init__(
        self,
        capture: CaptureReader,
        what_if: WhatIf,
        means: Means,
        score_tolerance: float = 1e-3,
        other: CaptureReader | None = None,
        *,
        skips_photos: bool = False,
    ) -> None:
        if capture.manifest.version == 1:
            raise CaptureError(
                "the capture has format version 1, without people and embeddings; its requests can only be posted to a "
                "server: use --url"
            )
        if what_if.looks_always and not capture.manifest.pictures:
            raise CaptureError("the capture was recorded without pictures, so that it cannot be looked at again")
        self.notes: list[str] = []
        self._skips_photos = skips_photos
        self._capture, self._what_if, self._means, self._source = capture, what_if, means, other or capture
        self._networks: Networks | None = None
        self._kept: Mapping[str, KeptLooks] = {}
        configs = [line for _, line in capture.configs()]
        self._model_sets = [line.key.removeprefix(_MODEL_SETS) for line in configs if line.key.startswith(_MODEL_SETS)]
        self._given = Given(
            what_if,
            read_policies(configs),
            means.present,
            means.pinned,
            self._choice(other),
            means.installed,
            None if what_if.add_people is None else self._opened().models.embedder_identity,
            score_tolerance,
            keep_going=capture.keeps_going,
        )

    @property
    def searched(self) -> GalleryChoice:
        """The people that are searched."""
        return self._given.choice

    def rows(self) -> Iterator[Row]:
        """Yield the row of every line, in the order of the lines; otherwise as `summed_rows`."""
        rows: Iterator[Row | SameRows[object]] = self.summed_rows(None)
        return (row for row in rows if isinstance(row, Row))

    def summed_rows(self, summing: Summing[S] | None) -> Iterator[Row | SameRows[S]]:
        """Yield the row of every line, in the order of the lines; but where `summing` adds up many rows at once in
        which nothing differs, they are yielded as one `SameRows`.

        Raises:
            CaptureError: the capture is damaged; the rows before the damage were yielded. Not where the capture is
                read up to its damage (`CaptureReader.damage`).
        """
        try:
            yield from self._rows(summing)
        except CaptureError as error:
            self._capture.note_damage(error)

    def _rows(self, summing: Summing[S] | None) -> Iterator[Row | SameRows[S]]:
        results: Iterator[Result | SameRows[S]] = (
            self._lines_to_look_at() if self._what_if.looks_always else self._decided(summing)
        )
        for result in results:
            if not isinstance(result, LookNeeded):
                yield result
                continue
            rest: Iterator[Result | SameRows[S]] = chain([result], results)
            if not self._capture.manifest.pictures:
                yield from without_networks(rest, "the capture was recorded without pictures")
                return
            try:
                networks = self._opened()
            except ModelError as error:
                yield from without_networks(rest, str(error))
            else:
                yield from self._looked_at(rest, networks)

    def _decided(self, summing: Summing[S] | None) -> Iterator[Result | SameRows[S]]:
        seal = self._capture.requests_seal()
        self._kept = {name: self._kept_looks(name) for name in self._model_sets}
        chunks = cut(self._capture.folder, self._capture.raw_blocks(CHUNK_BYTES), seal, tuple(self._kept.values()))
        files = self._capture.request_pictures
        given = replace(self._given, pictures=None if files is None else ListedPictures(files))
        return decide_chunks(chunks, given, self._means.jobs, summing)

    def _kept_looks(self, model_set: str) -> KeptLooks:
        return KeptLooks(self._capture.looks(model_set), partial(self._capture.look_at, model_set))

    def _lines_to_look_at(self) -> Iterator[Result]:
        self._opened()
        return (LookNeeded(number, line, "every picture is looked at") for number, line in self._capture.lines())

    def _looked_at(self, results: Iterable[Result | SameRows[S]], networks: Networks) -> Iterator[Row | SameRows[S]]:
        """Yield the rows of all results, with looks.

        Of an unchanged replay, looks are kept that the networks of then would have made.
        """
        capture, jobs = self._capture, self._means.jobs
        model_set = model_set_record(dict(networks.models.identities)).id
        if model_set not in self._kept or self._what_if != WhatIf():
            looker = Looker(self._given, networks, capture.picture, keep_going=capture.keeps_going)
            yield from looker.rows(results, jobs)
            return
        with LooksFile(capture.folder, model_set) as file:
            looks = LooksToKeep(
                file, self._kept[model_set], networks.models.embedder_identity, self._given.score_tolerance
            )
            looker = Looker(self._given, networks, capture.picture, keep=looks.add, keep_going=capture.keeps_going)
            try:
                yield from looker.rows(results, jobs)
            finally:
                looks.flush()

    def _opened(self) -> Networks:
        if self._networks is None:
            self._networks = self._means.open_networks()
        return self._networks

    def _choice(self, other: CaptureReader | None) -> GalleryChoice:
        then = _people(self._capture)
        now = then if other is None else _people(other)
        if now is None and self._what_if.add_people is None:
            raise CaptureError("the capture has no people to search; name others with --gallery or --add-people")
        now = now or PeopleRecords((), 0)
        version = chosen_version(now, self._what_if, other=other is not None)
        if self._what_if.looks_always:
            now = self._with_installed_embedder(now)
            then = now if other is None and then is not None else then
        if self._what_if.add_people is not None:
            now = replace(now, records=self._with_added(now, self._what_if.add_people))
        return GalleryChoice(then, now, version)

    def _with_added(self, people: PeopleRecords, source: Path) -> Sequence[PeopleLine]:
        """Return the records of the people with those of further ones, whom the installed networks embed."""
        networks, present = self._opened(), people.embedders
        if present and networks.models.embedder_identity not in present and not self._what_if.looks_always:
            raise CaptureError(
                "the people to search were embedded by other networks than the installed ones, which embed the added "
                "people; use --look, which embeds the photos of all of them"
            )
        context = Context(networks.models, self._means.present, networks.max_pixels, networks.clock)
        return add_people(people.records, people.first, source, context, self._means.jobs)

    def _with_installed_embedder(self, people: PeopleRecords) -> PeopleRecords:
        """Return the people with a face of the installed embedder beside every face of another one."""
        networks = self._opened()
        context = Context(networks.models, self._means.present, networks.max_pixels, networks.clock)
        done = reembed(people.records, context, self._photo, self._means.jobs)
        if done.without_photo:
            self.notes.append(f"{done.without_photo} faces have no photo, which the installed networks need")
        if done.photo_gone:
            self.notes.append(f"{done.photo_gone} faces of then have no photo any more, which the networks need")
        if done.without_face:
            self.notes.append(f"the installed networks find no face in the photos of {done.without_face} faces")
        return replace(people, records=done.records)

    def _photo(self, sha256: str) -> bytes | None:
        """Return an enrolled photo; None: the capture does not have it, and such photos are skipped.

        Raises:
            CaptureError: the capture does not have it.
        """
        if self._source.manifest.photos != "all":
            if self._skips_photos:
                return None
            raise CaptureError(
                "the people of the capture were embedded by other networks than the installed ones, and the capture "
                "does not have their photos; record it again with --photos all"
            )
        return self._source.picture(sha256)


def _people(capture: CaptureReader) -> PeopleRecords | None:
    first = capture.manifest.people_from
    if first is None:
        return None
    records = tuple(line for _, line in capture.people())
    return PeopleRecords(records, first, capture.people_until)  # the limit is known when the records were read
