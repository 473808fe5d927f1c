"""Stores the photos of people as pictures of a capture."""

import asyncio
from collections.abc import Iterable
from functools import partial

from broker.keyed import KeyedReader
from broker.port import Broker
from capture.folder import CaptureFolder
from capture.recording.people_index import PeopleIndex
from contract.captures.values import CapturedDecision
from contract.people.keys import MEAN_FACE
from contract.people.records import PhotoReference, photo_of


class Photos:
    """Copies photos from the photos topic; `kept`: the sha256 of those that the capture has, as far as they were copied
    here; `missing`: how many photos were gone."""

    def __init__(self, broker: Broker, topic: str, folder: CaptureFolder) -> None:
        self._reader, self._folder = KeyedReader(broker, topic), folder
        self._tried: set[bytes] = set()
        self.kept: set[bytes] = set()
        self.missing = 0

    async def keep_of(self, decisions: Iterable[CapturedDecision], index: PeopleIndex) -> None:
        """Store the photos of the best candidate and of the recognised person of each decision.

        Where the mean of a candidate's faces was nearest, the photo of the newest face is stored.

        Raises:
            BrokerError: the log cannot be read.
            CaptureError: the capture cannot be written.
        """
        for decision in decisions:
            best = decision.candidates[:1]
            faces = [(c.identity_id, None if c.number == MEAN_FACE else c.number) for c in best]
            if decision.identity_id and decision.identity_id not in {name for name, _ in faces}:
                faces.append((decision.identity_id, None))
            for identity_id, number in faces:
                known = index.photo(identity_id, number)
                if known is not None:
                    await self.keep(*known)

    async def keep(self, key: bytes, reference: PhotoReference) -> None:
        """Store the photo under that key, once; Raises as `keep_of`."""
        if reference.sha256 in self._tried:
            return
        self._tried.add(reference.sha256)
        accept = partial(photo_of, reference=reference)
        jpeg = await self._reader.read(key, reference.partition, reference.offset, accept)
        if jpeg is None:
            self.missing += 1
        else:
            await asyncio.to_thread(self._folder.keep_picture, jpeg)
            self.kept.add(reference.sha256)
