"""The handlers of Configs, PrettyScore and HistoryEventUrl: they show and set the settings of the site.

A change is a request through the log, which the processor decides. GET answers from the settings that this process has
read, and from those of its own operator; so give all roles the same settings.
"""

from collections.abc import Mapping
from typing import Any

from contract.answers import SettingsAnswer
from contract.calls.declaration import Values
from contract.calls.rules import param_error
from contract.calls.settings import (
    CHANGE_CONFIGS,
    CHANGE_EVENT_URLS,
    CHANGE_SCORES,
    MAX_NAME_CHARS,
    SHOW_CONFIG,
    SHOW_CONFIGS,
    SHOW_EVENT_URLS,
    SHOW_SCORES,
    ChangedConfigs,
    EventReceivers,
    Scores,
    SetEventReceivers,
)
from contract.calls.shared import Data
from contract.errors import Code, Refused
from contract.hosts import Hosts
from contract.site_requests import SettingsRequest
from contract.site_settings import (
    EVENT_CONTENT_TYPE,
    EVENT_PERIOD,
    EVENT_URL_LIST,
    EVENT_WITH_FACE,
    EVENT_WITH_PHOTO,
    EVENT_WITH_PICTURE,
    SCORES,
    SITE_SETTINGS,
    values_in_force,
)
from contract.text import misleads
from ingest.api.binding import Binding, Services, read_body, read_url, request_of, up_to_date, version_header
from ingest.call import Call
from ingest.event_urls import require_allowed
from ingest.render import Headers, Rendered, success

_URLS = "history_upload_event_url"
_RECEIVERS: Mapping[str, str] = {
    _URLS: EVENT_URL_LIST,
    "content-type": EVENT_CONTENT_TYPE,
    "reported_peroid": EVENT_PERIOD,
    "history_need_reg_pic": EVENT_WITH_PHOTO,
    "history_need_spot_pic": EVENT_WITH_PICTURE,
    "history_need_recognize_face": EVENT_WITH_FACE,
}
"""The field of HistoryEventUrl -> the name of the setting."""


async def _show_configs(call: Call, services: Services) -> Rendered:
    read_url(call, services, SHOW_CONFIGS)
    values, headers = await settings_in_force(call, services)
    return success(Data({name: SITE_SETTINGS[name].shown(value) for name, value in values.items()}), headers)


async def _show_config(call: Call, services: Services) -> Rendered:
    name = read_url(call, services, SHOW_CONFIG)["name"]
    setting = SITE_SETTINGS.get(name)
    if setting is None:
        raise Refused(Code.NOT_FOUND, "this server has no such setting")
    values, headers = await settings_in_force(call, services)
    return success(Data({name: setting.shown(values[name])}), headers)


async def _change_configs(call: Call, services: Services) -> Rendered:
    sent = (await read_body(call, services, CHANGE_CONFIGS))["config_dict"]
    if not all(name and len(name) <= MAX_NAME_CHARS and not misleads(name) for name in sent):
        raise param_error(f"config_dict must contain names of settings, each of at most {MAX_NAME_CHARS} characters")
    failed = _forbidden(sent, call.settings.receiver_hosts)
    headers: Headers = ()
    succeeded: list[str] = []
    allowed = {name: value for name, value in sent.items() if name not in failed}
    if allowed:
        answer, headers = await set_settings(call, services, allowed)
        succeeded, failed = sorted(answer.values), {**failed, **answer.failed}
    changed = ChangedConfigs(success_configs=succeeded, failed_configs=sorted(failed), reasons=failed)
    return success(Data(changed), headers)


async def _show_scores(call: Call, services: Services) -> Rendered:
    read_url(call, services, SHOW_SCORES)
    values, headers = await settings_in_force(call, services)
    return success(Data(Scores(threshold_range=list(values[SCORES]))), headers)


async def _change_scores(call: Call, services: Services) -> Rendered:
    scores = (await read_body(call, services, CHANGE_SCORES))["threshold_range"]
    _, headers = await _set_all(call, services, {SCORES: scores})
    return success(Data(Scores(threshold_range=list(scores))), headers)


async def _show_event_urls(call: Call, services: Services) -> Rendered:
    read_url(call, services, SHOW_EVENT_URLS)
    values, headers = await settings_in_force(call, services)
    receivers = _receivers({field: values[name] for field, name in _RECEIVERS.items()})
    return success(Data(EventReceivers(**receivers)), headers)


async def _change_event_urls(call: Call, services: Services) -> Rendered:
    sent = await read_body(call, services, CHANGE_EVENT_URLS)
    require_allowed(sent[_URLS], call.settings.receiver_hosts, _URLS)
    _, headers = await _set_all(call, services, {name: sent[field] for field, name in _RECEIVERS.items()})
    return success(Data(SetEventReceivers(**_receivers(sent))), headers)


async def settings_in_force(call: Call, services: Services) -> tuple[dict[str, Any], Headers]:
    """Return the values in force by name, as of a gallery version that contains every change made here."""
    async with up_to_date(call, services):
        people = services.people
        return values_in_force(people.site, services.configured), version_header(people.version)


async def set_settings(
    call: Call, services: Services, values: Mapping[str, Any], *, all_or_none: bool = False
) -> tuple[SettingsAnswer, Headers]:
    """Set the settings that can be set, or where one cannot be set, none (`all_or_none`); the answer names those that
    cannot.

    Raises:
        Refused: the call is refused.
    """
    request = request_of(SettingsRequest, call, {"values": dict(values)}, all_or_none=all_or_none)
    reply = await services.exchange.ask(call, request)
    if not isinstance(reply.answer, SettingsAnswer):
        raise TypeError(f"a change of settings was answered with {type(reply.answer).__name__}")
    return reply.answer, version_header(reply.gallery_version)


async def _set_all(call: Call, services: Services, values: Mapping[str, Any]) -> tuple[SettingsAnswer, Headers]:
    """Set settings of one family.

    Raises:
        Refused: 40071: one of them cannot be set, so none was set.
    """
    answer, headers = await set_settings(call, services, values, all_or_none=True)
    for name, reason in answer.failed.items():
        raise param_error(f"{name} cannot be set: {reason}")
    return answer, headers


def _forbidden(sent: Values, hosts: Hosts) -> dict[str, str]:
    """Return the reason why receivers of events cannot be set, by name; a value that is no list of URLs is refused by
    the processor."""
    try:
        urls = SITE_SETTINGS[EVENT_URL_LIST].rule.check(sent.get(EVENT_URL_LIST) or (), EVENT_URL_LIST)
    except Refused:
        return {}
    try:
        require_allowed(urls, hosts, EVENT_URL_LIST)
    except Refused as refused:
        return {EVENT_URL_LIST: refused.message}
    return {}


def _receivers(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of an answer about the receivers, from the fields of the call."""
    return {name.replace("-", "_"): value for name, value in values.items()}


CALLS = (
    Binding(declaration=SHOW_CONFIGS, handle=_show_configs, needs_people=True),
    Binding(declaration=SHOW_CONFIG, handle=_show_config, needs_people=True),
    Binding(declaration=CHANGE_CONFIGS, handle=_change_configs, request=SettingsRequest, needs_people=True),
    Binding(declaration=SHOW_SCORES, handle=_show_scores, needs_people=True),
    Binding(declaration=CHANGE_SCORES, handle=_change_scores, request=SettingsRequest, needs_people=True),
    Binding(declaration=SHOW_EVENT_URLS, handle=_show_event_urls, needs_people=True),
    Binding(declaration=CHANGE_EVENT_URLS, handle=_change_event_urls, request=SettingsRequest, needs_people=True),
)
