"""The words and rules of fields that only version 6 has. Pure."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from contract.calls.rules import Rule, choice, free_object, param_error
from contract.calls.shared import QUALITY_LEVEL as LEVEL
from contract.errors import Code, Refused
from contract.site_settings import EVENT_PERIOD, EVENT_URL_LIST, REPEATS, SCORE_AT_THRESHOLD, SITE_SETTINGS, STRANGERS

UserType = Literal["employee", "visitor", "blacklist", "stranger", "vip"]
USER_TYPES: tuple[UserType, ...] = ("employee", "visitor", "blacklist", "stranger", "vip")
"""The types of people, in the order of the numbers 1 to 5 of version 5."""
UNNAMED = "\u4f5a\u540d"
"""The name of a person who was created without one: the vendor's word for anonymous."""
CONFIGS: Mapping[str, str] = {
    "HISTORY_EVENT_UPLOAD_URL": EVENT_URL_LIST,
    "HISTORY_REPORT_PEROID": EVENT_PERIOD,
    "GATE_DUPLICATE_REMOVAL_TIMEOUT": REPEATS,
    "MATCH_THRESHOLD": SCORE_AT_THRESHOLD,
    "GATE_SUPPORT_STRANGER_GROUP": STRANGERS,
}
"""The settings of version 6 -> their names in version 5 (contract.site_settings)."""
_LEVELS = {"normal": "middle"}
"""The levels of quality that version 6 calls by another word."""


_FIELDS = {
    "device_id": "media_device_id",
    "device_key": "media_device_url",
    "reg_photo": "register_image",
    "feature must": "register_feature must",
    "info.permission_ids": "permission_ids",
    "info would": "ext_user_info and the other fields of the person would",
    "ignore_exist": "force_replace",
    "create_no_exit_permission creates them": "createpermission creates one",
    "PUT of Devices": "PUT of Devices (version 5)",
}
"""The words of version 5 in refusals of the engine -> those of version 6."""
_FIELD = re.compile("|".join(rf"\b{re.escape(word)}\b" for word in _FIELDS))


def in_words_of_v6(refused: Refused) -> Refused:
    """Return a refusal of the engine in whose message the fields have their names of version 6."""
    message = _FIELD.sub(lambda found: _FIELDS[found[0]], refused.message)
    return Refused(refused.code, message, refused.refusal.cause)


def argument(rule: Rule) -> Rule:
    """Return a rule whose refusals are 40071, since version 6 calls every malformed value an invalid argument."""

    def check(value: Any, field: str) -> Any:
        try:
            return rule.check(value, field)
        except Refused as refused:
            raise param_error(refused.message) from None

    return replace(rule, check=check, codes=(Code.PARAM_ERROR,))


def _area(value: Any, field: str) -> list[float]:
    numbers = value if isinstance(value, list) and len(value) == 4 else [None]
    if any(isinstance(item, bool) or not isinstance(item, int | float) for item in numbers):
        raise param_error(f"{field} must be a list of four numbers")
    return list(map(float, numbers))


def _level(value: Any, field: str) -> str:
    word = str(_WORDS.check(value, field))
    return _LEVELS.get(word, word)


_WORDS = choice(*_LEVELS, *LEVEL.schema["enum"])
QUALITY_LEVEL = replace(_WORDS, check=_level)
"""A level of quality; `normal` is another word for `middle`."""
AREA = Rule(
    word="list of number",
    check=_area,
    schema={"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4},
    empty_is_absent=False,
)
"""An area of a picture: four numbers."""


def _configs(value: Any, field: str) -> dict[str, Any]:
    checked: dict[str, Any] = _CONFIG_OBJECT.check(value, field)
    if not checked.keys() <= CONFIGS.keys():
        raise Refused(Code.PARAM_ERROR, f"{field} may contain only {', '.join(CONFIGS)}", "setting")
    return checked


_CONFIG_OBJECT = free_object(**{name: SITE_SETTINGS[own].rule for name, own in CONFIGS.items()})
CONFIG_DICT = replace(_CONFIG_OBJECT, check=_configs)
"""Settings of version 6 by name; null is left out."""
