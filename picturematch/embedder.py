"""The facts about the embedder that the settings name; where that is a network, it is not opened."""

from capture.replaying.embedder import EmbedderFacts
from picturematch.networks import store_of
from picturematch.settings import Settings
from picturematch.wiring import open_models


def embedder_facts(settings: Settings) -> EmbedderFacts:
    """Return the facts about the embedder of a server with these settings.

    Raises:
        ModelError: the operator's manifest, or a network that it names, cannot be read, or is not complete.
    """
    if settings.models.stand_in is not None:
        return EmbedderFacts.of_models(open_models(settings))
    store = store_of(settings)
    return EmbedderFacts.of_manifest(store.manifest, store.identity("embedder"))
