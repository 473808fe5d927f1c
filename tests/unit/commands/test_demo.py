"""The demo keeps away from what is used for real."""

from picturematch.commands.demo import own_settings
from picturematch.settings import load_settings


def test_the_demo_takes_only_the_networks_of_the_settings(tmp_path):
    environment = {
        "PICTUREMATCH_BROKER": "kafka://gate:9092",
        "PICTUREMATCH_INGEST__HOST": "192.0.2.1",
        "PICTUREMATCH_INGEST__API_KEYS": '["a long secret"]',
        "PICTUREMATCH_INGEST__NEED_API_KEY_FROM_LOOPBACK": "true",
        "PICTUREMATCH_MODELS__FOLDER": str(tmp_path / "networks"),
    }
    own = own_settings(load_settings(None, environment), tmp_path / "own")
    assert (own.kafka_config, own.data_folder) == (None, tmp_path / "own")
    assert (own.ingest.host, own.ingest.port, own.ingest.need_api_key_from_loopback) == ("127.0.0.1", 0, False)
    assert own.models.folder == tmp_path / "networks"
