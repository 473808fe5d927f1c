"""The settings of the site, which calls can set (Configs, PrettyScore, HistoryEventUrl), by the vendor's names. Pure.

A setting of the site is laid over a setting of the operator, unless the operator has pinned that one: a value that the
settings file, the environment or the command line sets is pinned. The settings of a family are one record of the people
topic (setting/FAMILY), so that they take effect together.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from contract.calls.rules import FLAG, Rule, choice, whole
from contract.calls.setting_rules import EVENT_URLS, SCORE, SCORE_RANGE, one_of
from contract.calls.shared import QUALITY_LEVEL
from contract.errors import Refused
from contract.people.site import SettingRecord, Site

SCORE_AT_THRESHOLD = "THRESHOLD"
SCORES = "THRESHOLD_RANGE"
REPEATS = "DUPLICATE_REMOVAL_TIMEOUT"
STRANGERS = "SUPPORT_STRANGER_GROUP"
EVENT_URL_LIST = "HISTORY_UPLOAD_EVENT_URL"
EVENT_CONTENT_TYPE = "HISTORY_CONTENT_TYPE"
EVENT_PERIOD = "REPORTED_PEROID"
EVENT_WITH_PHOTO = "HISTORY_EVENT_NEED_REG_PIC"
EVENT_WITH_PICTURE = "HISTORY_EVENT_NEED_SPOT_PIC"
EVENT_WITH_FACE = "HISTORY_EVENT_NEED_RECOGNIZE_FACE"

EVENT_FAMILY = "events"
"""The family of the settings of the receivers of events."""
FORM_DATA = "form-data"

MATCHING = "matching."
"""What the names of the operator's settings of matching begin with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteSetting:
    """A setting of the site.

    Attributes:
        name: the vendor's name of the setting.
        family: the record that contains the setting.
        rule: checks a value, and returns it as it is stored.
        setting: the operator's setting that it is laid over ("section.field"); None: the operator has none.
        pinned_by: further settings of the operator that pin it.
        default: the value where nobody has set it and `setting` is None.
        shown: converts the stored value to the form of answers.
        words: the purpose, in Markdown.
    """

    name: str
    family: str
    rule: Rule
    words: str
    setting: str | None = None
    pinned_by: tuple[str, ...] = ()
    default: Any = None
    shown: Callable[[Any], Any] = lambda value: value

    def pins(self, pinned: frozenset[str]) -> str | None:
        """Return the setting of the operator that pins this one; None: it is not pinned."""
        own = () if self.setting is None else (self.setting,)
        return next((path for path in (*own, *self.pinned_by) if path in pinned), None)


def _commas(values: Any) -> str:
    return ",".join(map(str, values))


SITE_SETTINGS: Mapping[str, SiteSetting] = {
    each.name: each
    for each in (
        SiteSetting(
            name=SCORES,
            family="scores",
            rule=SCORE_RANGE,
            setting="matching.score_range",
            shown=_commas,
            words="The percent scores of the cosines 0, the threshold and 1, as in PrettyScore or with commas.",
        ),
        SiteSetting(
            name=SCORE_AT_THRESHOLD,
            family="scores",
            rule=SCORE,
            setting="matching.accepted_score",
            pinned_by=("matching.threshold",),
            words=(
                "The score on the percent scale, between the first and the last one of `THRESHOLD_RANGE`, from which a"
                " match recognises a person."
            ),
        ),
        SiteSetting(
            name="FIQA_LEVEL",
            family="enrolment",
            rule=QUALITY_LEVEL,
            setting="matching.enrolment_quality",
            words="The quality level of an enrolment that names none.",
        ),
        SiteSetting(
            name="DEFAULT_GROUP_SIZE",
            family="enrolment",
            rule=whole(1, 10_000_000),
            setting="matching.max_people",
            words="The most people, 1 to 10,000,000.",
        ),
        SiteSetting(
            name="REG_MIN_FACE",
            family="matching",
            rule=whole(0, 300),
            setting="matching.min_face_size",
            words="The shorter side in pixels, 0 to 300, below which a match ignores a face.",
        ),
        SiteSetting(
            name=EVENT_URL_LIST,
            family=EVENT_FAMILY,
            rule=EVENT_URLS,
            default=(),
            shown=_commas,
            words="The URLs of the receivers of events, as a list or with commas, as in HistoryEventUrl.",
        ),
        SiteSetting(
            name=EVENT_CONTENT_TYPE,
            family=EVENT_FAMILY,
            rule=choice("json", FORM_DATA),
            default="json",
            words="How events are sent to the receivers: as JSON or as multipart/form-data.",
        ),
        SiteSetting(
            name=EVENT_PERIOD,
            family=EVENT_FAMILY,
            rule=whole(1, 86_400),
            default=5,
            words="Seconds between two uploads, 1 to 86,400; an upload sends all events that have come since.",
        ),
        SiteSetting(
            name=EVENT_WITH_PHOTO,
            family=EVENT_FAMILY,
            rule=FLAG,
            default=True,
            words="Whether an event is sent with the photo of the person.",
        ),
        SiteSetting(
            name=EVENT_WITH_PICTURE,
            family=EVENT_FAMILY,
            rule=FLAG,
            default=True,
            words="Whether an event is sent with the picture and the infrared picture.",
        ),
        SiteSetting(
            name=EVENT_WITH_FACE,
            family=EVENT_FAMILY,
            rule=FLAG,
            default=True,
            words="Whether an event is sent with the face, cut out of the picture.",
        ),
        SiteSetting(
            name=REPEATS,
            family="repeats",
            rule=whole(0, 86_400),
            setting="matching.repeat_window_s",
            words=(
                "Seconds, 0 to 86,400, after a match in which a further match of the person at the device is a repeat:"
                " it is answered, and leaves a small event that names the first one."
            ),
        ),
        SiteSetting(
            name=STRANGERS,
            family="strangers",
            rule=FLAG,
            setting="matching.enrol_strangers",
            words="Whether a PictureMatch with `support_stranger` enrols strangers.",
        ),
        SiteSetting(
            name="STRANGER_GROUP_SIZE",
            family="strangers",
            rule=one_of(30_000, 50_000, 100_000),
            setting="matching.max_strangers",
            words="The most strangers whom matches have enrolled, 30,000, 50,000 or 100,000; beyond, the oldest leave.",
        ),
    )
}
"""All settings of the site by name."""

OPERATOR_SETTINGS: tuple[str, ...] = tuple(each.setting for each in SITE_SETTINGS.values() if each.setting is not None)
"""The settings of the operator that the site's settings are laid over."""


@dataclass(frozen=True, slots=True)
class Configured:
    """The operator's settings, as far as settings of the site are laid over them.

    `values`: those of `OPERATOR_SETTINGS`, by path. `pinned`: the paths of all settings that are pinned.
    """

    values: Mapping[str, Any]
    pinned: frozenset[str]


def stored_values(site: Site) -> dict[str, Any]:
    """Return the stored settings by name, also those that have no effect because the operator has pinned them.

    A name that is not in `SITE_SETTINGS`, or a value that the rule refuses, comes from another version; it is left out.
    """
    values: dict[str, Any] = {}
    for name, each in SITE_SETTINGS.items():
        record = site.settings.get(each.family)
        value = record.value.get(name) if record is not None and isinstance(record.value, dict) else None
        if value is not None:
            try:
                values[name] = each.rule.check(value, name)
            except Refused:
                continue
    return values


def laid_over(site: Site, pinned: frozenset[str]) -> dict[str, Any]:
    """Return the site's settings that are in force, by name."""
    return {name: value for name, value in stored_values(site).items() if not SITE_SETTINGS[name].pins(pinned)}


def values_in_force(site: Site, configured: Configured) -> dict[str, Any]:
    """Return the value of every setting of the site: the site's, else the operator's, else the default."""
    laid = laid_over(site, configured.pinned)
    values: dict[str, Any] = {
        name: laid.get(name, each.default if each.setting is None else configured.values.get(each.setting))
        for name, each in SITE_SETTINGS.items()
    }
    if values[SCORE_AT_THRESHOLD] is None and values[SCORES] is not None:
        values[SCORE_AT_THRESHOLD] = values[SCORES][1]
    return values


@dataclass(frozen=True, slots=True, kw_only=True)
class EventUploads:
    """What the site has set about the receivers of events; the defaults are those of a site that has set nothing.

    `as_form`: events are sent as multipart/form-data, else as JSON. `period_s`: seconds between two uploads. `photo`,
    `picture` and `face`: whether the pictures of an event are sent. `since_s`: the epoch seconds of the last change.
    """

    urls: tuple[str, ...] = ()
    as_form: bool = False
    period_s: float = 5.0
    photo: bool = True
    picture: bool = True
    face: bool = True
    since_s: float = 0.0


def event_uploads(site: Site) -> EventUploads:
    """Return the receivers of events; the operator has no settings of them, so none can be pinned."""
    stored = stored_values(site)
    names = (EVENT_URL_LIST, EVENT_CONTENT_TYPE, EVENT_PERIOD, EVENT_WITH_PHOTO, EVENT_WITH_PICTURE, EVENT_WITH_FACE)
    urls, content_type, period, photo, picture, face = (stored.get(name, SITE_SETTINGS[name].default) for name in names)
    record = site.settings.get(EVENT_FAMILY)
    return EventUploads(
        urls=urls,
        as_form=content_type == FORM_DATA,
        period_s=float(period),
        photo=photo,
        picture=picture,
        face=face,
        since_s=0.0 if record is None else record.changed_s,
    )


def with_values(site: Site, values: Mapping[str, Any], at_s: float = 0.0) -> tuple[Site, tuple[SettingRecord, ...]]:
    """Return the site with settings changed (None: deleted), and the records that differ from before.

    `values`: name -> the value that the rule has returned. `at_s`: the epoch seconds of the change.
    """
    changed: dict[str, SettingRecord] = {}
    for family in dict.fromkeys(SITE_SETTINGS[name].family for name in values):
        before = site.settings.get(family)
        kept: dict[str, Any] = dict(before.value) if before is not None and isinstance(before.value, dict) else {}
        after = {**kept, **{name: value for name, value in values.items() if SITE_SETTINGS[name].family == family}}
        value = {name: value for name, value in after.items() if value is not None}
        record = SettingRecord(name=family, value=value, changed_s=at_s)
        if before is None or _plain(record.value) != _plain(before.value):
            changed[family] = record
            site = site.put(record)
    return site, tuple(changed.values())


def _plain(value: Any) -> Any:
    """Return values in the form that they have after they were read from the log, where a tuple is a list."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return list(value) if isinstance(value, tuple) else value
