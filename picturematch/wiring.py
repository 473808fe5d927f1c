"""Wires the parts that only a processor needs: the opened networks, the gallery and the processor.

This module imports OpenCV and the inference runtime; a process with an ingress alone uses `system` without this module.
"""

import time
from contextlib import AbstractAsyncContextManager

import cv2
import numpy as np
from prometheus_client import CollectorRegistry
from threadpoolctl import threadpool_limits

from broker.port import Broker
from contract.seen_faces import Likeness
from engine.gallery.choosing import index_of, slow_search
from engine.gallery.people import People
from engine.gallery.port import everybody
from engine.threshold import fmr_at, search_threshold
from engine.vision.networks.build import build_model_set
from engine.vision.ports import Box, Face, ModelSet
from picturematch.face_crops import face_crops
from picturematch.local_copy import COPY_FILE, LocalCopy
from picturematch.networks import store_of
from picturematch.opening import Clock
from picturematch.settings import Settings
from picturematch.system import NoCopy, PeopleCopy, Reached, System, run_roles
from processor.processor import Processor


def open_models(settings: Settings) -> ModelSet:
    """Open the networks with one thread each, and warm them up.

    Raises:
        ModelError: a network is not installed, or damaged.
    """
    # Pictures are matched in parallel, one per core; several threads for one picture would only compete for the cores.
    cv2.setNumThreads(1)
    threadpool_limits(1)
    if settings.models.stand_in is not None:
        from engine.vision.networks.standin import stand_in_models  # only tests ask for it

        return stand_in_models(settings.models.stand_in)
    store = store_of(settings)
    models = build_model_set(store.manifest, store.open, store.identity)
    _warm_up(models)
    return models


def _warm_up(models: ModelSet) -> None:
    image = np.full((480, 640, 3), 128, np.uint8)
    eyes_nose_mouth = [[290, 210], [350, 210], [320, 245], [295, 280], [345, 280]]
    face = Face(Box(260, 160, 120, 160), 1.0, np.array(eyes_nose_mouth, np.float32))
    models.detector(image)
    models.embedder(image, face)


def likeness_of(models: ModelSet, settings: Settings) -> Likeness | None:
    """Return what the search among faces of past matches must know of the embedder; None: it is switched off."""
    if not settings.ingest.picture_search:
        return None
    embedder, policy = models.embedder, settings.matching
    return Likeness(
        embedder=models.embedder_identity,
        dimension=embedder.dimension,
        threshold_of=lambda faces: search_threshold(policy, embedder, faces).cosine,
        rate_of=lambda cosine: fmr_at(embedder.fmr_curve, cosine) if embedder.fmr_curve else None,
    )


class NetworkRole:
    """The `ProcessorRole` with opened networks and a gallery. `pinned`: the settings that the operator has pinned.

    Raises:
        IndexUnavailable: the library of the chosen index is not installed.
    """

    def __init__(self, settings: Settings, models: ModelSet, pinned: frozenset[str] = frozenset()) -> None:
        self._settings, self._models, self._pinned = settings, models, pinned
        self.likeness: Likeness | None = likeness_of(models, settings)
        index = index_of(settings.gallery.index, settings.gallery.sketch_sigmas)
        self.people = People(models.embedder.dimension, models.embedder_identity, index)

    def local_copy(self, clock: Clock) -> PeopleCopy:
        """Return the local copy of the people; see `ProcessorRole.local_copy`."""
        folder = self._settings.local_copy_folder
        if folder is None:
            return NoCopy()
        kept = self._settings.gallery.local_copy
        return LocalCopy(self.people, self._settings.topics.people, folder / COPY_FILE, clock, kept=kept)

    def slow_search(self) -> str | None:
        """Return in a sentence that the library of a quicker index is not installed; None: searches are quick."""
        templates = self.people.snapshot().gallery.count(everybody(means=True))
        return slow_search(self._settings.gallery.index, templates)

    def processor(self, broker: Broker, reached: Reached, clock: Clock, registry: CollectorRegistry) -> Processor:
        """Return a processor that is not entered yet; see `ProcessorRole.processor`."""
        return Processor(
            broker,
            self._settings.topics,
            self.people,
            reached,
            self._models,
            self._settings.matching,
            self._settings.processor,
            clock,
            registry,
            self._settings.pictures.max_pixels,
            self._pinned,
        )


def run_system(
    settings: Settings,
    models: ModelSet | None,
    *,
    ingest: bool = True,
    clock: Clock = time.time,
    pinned: frozenset[str] = frozenset(),
) -> AbstractAsyncContextManager[System]:
    """Run the roles of one process (`run_roles`) with a processor that uses `models`; None: without a processor."""
    role = None if models is None else NetworkRole(settings, models, pinned)
    crop = face_crops(settings.pictures.max_pixels) if ingest and role is not None else None
    likeness = likeness_of(models, settings) if ingest and models is not None else None
    return run_roles(settings, role, ingest=ingest, clock=clock, pinned=pinned, crop=crop, likeness=likeness)
