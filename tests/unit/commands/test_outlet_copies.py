"""What `people delete` prints about copies that are left."""

from pathlib import Path

from picturematch.outlet_copies import copies_left
from picturematch.settings import Settings, StoreSettings
from sinks.settings import JsonlSettings, MqttSettings, SqlSettings, WebhookSettings


def test_every_outlet_is_named_with_what_it_keeps_and_for_how_long() -> None:
    settings = Settings(
        store=StoreSettings(keep_days=30),
        sinks=(
            JsonlSettings(name="files", out=Path("/var/events")),
            WebhookSettings(name="door", url="https://relay.example/open?token=secret"),
            MqttSettings(name="home", host="broker.lan"),
            SqlSettings(name="history", url="postgresql://u:secret@db/x", keep_days=1),
        ),
    )
    uploads = ("http://desk.example:8080/events?token=secret", "http://desk.example/other")
    log, store, desk, files, door, home, history = copies_left(settings, uploads)
    assert "desk.example (HistoryEventUrl) has received the person's events, photo and pictures" in desk
    assert "for 365 days" in log
    assert "for 7 days" in log
    assert "for 30 days" in store
    assert "/var/events" in files
    assert "relay.example has received" in door
    assert "broker.lan" in home
    assert "for 1 day" in history
    assert "secret" not in "".join((desk, door, history))


def test_without_a_store_and_sinks_only_the_log_is_named() -> None:
    assert len(list(copies_left(Settings(store=StoreSettings(enabled=False))))) == 1
