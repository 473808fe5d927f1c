"""Who may make which call: roles, addresses, keys, and where a key may be sent."""

import pytest
from multidict import CIMultiDict, MultiDict

from contract.audit import ANYBODY, TRUSTED_NETWORK, Actor
from contract.errors import Code, Refused
from contract.networks import address_of
from contract.people.site import KeyRecord
from contract.roles import ROLES, Role, includes
from ingest.api.binding import Binding
from ingest.api.listing import BINDINGS
from ingest.auth import TO_READ_FILES, Gate, NotAuthorised, Route
from ingest.keys import digest
from ingest.peer import Caller
from ingest.routes import least_role, methods_at
from ingest.settings import IngestSettings
from ingest.wrong_keys import STRANGER, WrongKeys

DEVICE_CALLS = {"PictureMatch", "compare", "FIQA", "fiqa", "detect", "search"}
"""The last parts of the paths of the calls that devices make."""
OPERATOR_CALLS = {
    *("users", "groups", "GroupUsers", "permissions", "Devices", "images", "{image_id}", "events"),
    *("event_counts", "picturesearch", "seen"),
    *("healthz", "readyz", "metrics", "openapi.json"),
    *("createpermission", "getpermission", "getpermissions", "updatepermission", "deletepermission"),
    *("createidentity", "getidentity", "getidentities", "updateidentity", "deleteidentities"),
    *("addface", "deleteface", "replaceface", "getregisterimage", "addmediadevice", "getmediadevices"),
    *("updatemediadevice", "deletemediadevice", "deletemediadevices", "getevents", "getevent", "searchbyimage"),
}
"""The last parts of the paths of the calls about people, groups, permissions, devices and events, and of the pages."""

INSIDE, OUTSIDE = Caller(address_of("10.1.2.3")), Caller(address_of("203.0.113.7"), encrypted=True)
SETTINGS = IngestSettings(trusted_networks=("10.0.0.0/8",), api_keys=("a key of the settings",))
KEYS = {role: f"pm_{role}" for role in ROLES}
RECORDS = [
    KeyRecord(key_id=f"id of {role}", name=f"my-{role}", role=role, sha256=digest(key.encode()), created_s=1.0)
    for role, key in KEYS.items()
]


def authorised(
    caller: Caller, least: Role, *, settings: IngestSettings = SETTINGS, query: str = "", **headers: str
) -> Actor:
    gate = Gate(settings, RECORDS, WrongKeys())
    sent = CIMultiDict({name.replace("_", "-"): value for name, value in {"Host": "127.0.0.1", **headers}.items()})
    return gate.authorise(sent, MultiDict({query: "x"} if query else {}), caller, Route(least), 0.0)


def expected_role(binding: Binding) -> Role:
    last = binding.declaration.path.rpartition("/")[2]
    if last in DEVICE_CALLS:
        return "device"
    return "operator" if last in OPERATOR_CALLS else "administrator"


@pytest.mark.parametrize("binding", BINDINGS, ids=lambda b: f"{b.declaration.method} {b.declaration.path}")
def test_every_call_has_the_least_role_of_its_family_and_any_other_call_needs_an_administrator(binding: Binding):
    assert binding.role == expected_role(binding)


def test_a_call_that_names_no_role_needs_an_administrator():
    assert Binding.__dataclass_fields__["role"].default == "administrator"


def test_each_role_may_do_everything_that_a_weaker_one_may():
    table = {(role, least): includes(role, least) for role in ROLES for least in ROLES}
    assert {pair for pair, may in table.items() if not may} == {
        ("device", "operator"),
        ("device", "administrator"),
        ("operator", "administrator"),
    }


def test_a_method_that_a_url_does_not_have_needs_its_strongest_role_and_an_unknown_url_an_operator():
    assert least_role("GET", methods_at("/nowhere")) == "operator"
    assert least_role("OPTIONS", methods_at("/SophonMatch/api/PictureMatch")) == "device"
    assert least_role("PATCH", methods_at("/picturematch/api/keys")) == "administrator"
    mixed = {**methods_at("/SophonFogSys/api/users"), "POST": methods_at("/picturematch/api/keys")["POST"]}
    assert least_role("PATCH", mixed) == "administrator"


@pytest.mark.parametrize("least", ROLES)
def test_without_a_key_a_trusted_network_is_an_administrator_and_any_other_address_a_device(least: Role):
    inside = authorised(INSIDE, least)
    assert (inside.name, inside.role, inside.peer) == (TRUSTED_NETWORK, "administrator", "10.1.2.3")
    if least == "device":
        assert authorised(OUTSIDE, least).name == ANYBODY
    else:
        with pytest.raises(NotAuthorised, match=f"an API key with the role {least} is needed") as refused:
            authorised(OUTSIDE, least)
        assert (refused.value.code, refused.value.reason) == (Code.UNAUTHORIZED, None)


def test_a_setting_leaves_callers_without_a_key_no_role_at_all():
    strict = IngestSettings(trusted_networks=("10.0.0.0/8",), api_key_for_match=True)
    with pytest.raises(NotAuthorised):
        authorised(OUTSIDE, "device", settings=strict)
    assert authorised(OUTSIDE, "device", settings=strict, X_API_Key=KEYS["device"]).name == "my-device"
    assert authorised(INSIDE, "device", settings=strict).name == TRUSTED_NETWORK


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("least", ["operator", "administrator"])
@pytest.mark.parametrize("caller", [INSIDE, OUTSIDE])
def test_a_key_has_its_role_wherever_it_comes_from(role: Role, least: Role, caller: Caller):
    if includes(role, least):
        actor = authorised(caller, least, X_API_Key=KEYS[role])
        assert (actor.name, actor.role, actor.key_id) == (f"my-{role}", role, f"id of {role}")
        return
    with pytest.raises(NotAuthorised, match=f"the role of this API key is {role}.* needs .* {least}") as refused:
        authorised(caller, least, X_API_Key=KEYS[role])
    assert refused.value.reason == "weak_role"


def test_a_key_of_the_settings_is_an_administrator_s_and_is_named_by_its_place():
    actor = authorised(OUTSIDE, "administrator", Authorization="Bearer a key of the settings")
    assert (actor.name, actor.role, actor.key_id) == ("settings key 1", "administrator", None)


def test_a_wrong_key_is_refused_in_a_trusted_network_too_so_that_a_deleted_key_gains_nothing():
    with pytest.raises(NotAuthorised) as refused:
        authorised(INSIDE, "operator", X_API_Key="deleted")
    assert refused.value.reason == "wrong"
    assert authorised(INSIDE, "device", X_API_Key="deleted").name == TRUSTED_NETWORK, "devices need none"


@pytest.mark.parametrize(
    "header", [{"X_API_Key": KEYS["administrator"]}, {"Authorization": "Basic eDpwbV9vcGVyYXRvcg=="}]
)
@pytest.mark.parametrize("address", ["203.0.113.7", "2001:db8::1", None])
def test_keys_over_plain_http_from_beyond_the_trusted_networks_are_refused(address: str | None, header: dict[str, str]):
    plain = Caller(address_of(address))
    for least in ROLES:
        with pytest.raises(NotAuthorised, match="call the server by https") as refused:
            authorised(plain, least, **header)
        assert refused.value.reason == "plain_http"
    assert authorised(plain, "device").name == ANYBODY, "who sends no key is served as a device"
    allowed = IngestSettings(trusted_networks=("10.0.0.0/8",), keys_over_plain_http=True)
    assert authorised(plain, "operator", settings=allowed, **header).name.startswith("my-")
    assert authorised(plain, "device", settings=allowed, **header).name == ANYBODY
    private = Caller(address_of(address), encrypted=True)
    assert authorised(private, "operator", **header).name.startswith("my-")
    assert authorised(private, "device", **header).name == ANYBODY


def test_whoever_comes_through_a_proxy_that_is_not_trusted_is_no_administrator_by_the_address_of_the_proxy():
    through = Caller(address_of("10.1.2.3"), through_unknown_proxy=True)
    assert authorised(through, "device").role == "device"
    with pytest.raises(NotAuthorised):
        authorised(through, "operator")
    assert authorised(through, "operator", X_API_Key=KEYS["operator"]).name == "my-operator"


@pytest.mark.parametrize("address", ["10.1.2.3", "127.0.0.1", "::1"])
def test_keys_over_plain_http_are_accepted_where_only_the_site_can_read_them(address: str):
    assert authorised(Caller(address_of(address)), "operator", X_API_Key=KEYS["operator"]).name == "my-operator"
    assert authorised(Caller(address_of(address)), "device", X_API_Key=KEYS["operator"]).role != "operator"


def test_a_right_key_and_a_wrong_one_over_plain_http_are_answered_alike():
    answers = set()
    for key in (KEYS["administrator"], "wrong"):
        with pytest.raises(NotAuthorised) as refused:
            authorised(Caller(address_of("203.0.113.7")), "operator", X_API_Key=key)
        answers.add(refused.value.message)
    assert len(answers) == 1


@pytest.mark.parametrize("name", ["api_key", "API_KEY", "x-api-key", "access_token"])
@pytest.mark.parametrize("caller", [INSIDE, OUTSIDE])
def test_a_key_in_the_url_is_refused_whoever_calls(name: str, caller: Caller):
    with pytest.raises(NotAuthorised, match="in the URL") as refused:
        authorised(caller, "device", query=name)
    assert refused.value.reason == "in_url"


def test_files_are_read_for_trusted_networks_and_for_keys_of_every_role_and_for_nobody_else():
    def reads(caller: Caller, **headers: str) -> bool:
        try:
            Gate(SETTINGS, RECORDS, WrongKeys()).authorise(
                CIMultiDict({"Host": "127.0.0.1", **headers}), MultiDict(), caller, TO_READ_FILES, 0.0
            )
        except NotAuthorised:
            return False
        return True

    assert reads(INSIDE)
    assert all(reads(OUTSIDE, **{"X-API-Key": key}) for key in KEYS.values())
    assert not reads(OUTSIDE)
    assert not reads(OUTSIDE, **{"X-API-Key": "wrong"})
    assert not reads(Caller(None, encrypted=True))
    assert not reads(Caller(address_of("10.1.2.3"), through_unknown_proxy=True))
    plain = Caller(address_of("203.0.113.7"))
    assert not reads(plain, **{"X-API-Key": KEYS["administrator"]}), "others could read that key"


def test_keys_of_the_people_topic_are_not_judged_before_the_topic_is_read():
    gate = Gate(SETTINGS, None, WrongKeys())

    def asked(key: str) -> Actor:
        return gate.authorise(CIMultiDict({"X-API-Key": key}), MultiDict(), OUTSIDE, Route("operator"), 0.0)

    for key in (KEYS["operator"], "wrong"):
        with pytest.raises(Refused) as refused:
            asked(key)
        assert refused.value.code is Code.OVERLOADED
    assert asked("a key of the settings").role == "administrator"


def test_keys_of_the_settings_cannot_be_guessed_faster_while_the_topic_is_not_read():
    wrong_keys = WrongKeys()

    def asked(key: str, now_s: float, *, starting: bool) -> Actor:
        gate = Gate(SETTINGS, None if starting else RECORDS, wrong_keys)
        return gate.authorise(CIMultiDict({"X-API-Key": key}), MultiDict(), OUTSIDE, Route("operator"), now_s)

    for number in range(STRANGER.burst):
        with pytest.raises(Refused) as refused:
            asked(f"guess {number}", 0.0, starting=True)
        assert refused.value.code is Code.OVERLOADED
    with pytest.raises(Refused) as refused:
        asked("a key of the settings", 0.0, starting=True)
    assert refused.value.code is Code.OVERLOADED, "nothing is compared, so the answer reveals nothing"
    with pytest.raises(NotAuthorised) as unjudged:
        asked(KEYS["operator"], 0.0, starting=False)
    assert (unjudged.value.reason, unjudged.value.retry_after_s) == ("unjudged", 1 / STRANGER.per_second)
    assert asked(KEYS["operator"], 1 / STRANGER.per_second, starting=False).role == "operator"


def test_a_key_of_the_settings_is_let_in_while_the_topic_is_not_read():
    gate = Gate(SETTINGS, None, WrongKeys())
    sent = CIMultiDict({"X-API-Key": "a key of the settings"})
    assert gate.authorise(sent, MultiDict(), OUTSIDE, Route("operator"), 0.0).role == "administrator"


def test_a_key_whose_role_is_too_weak_is_no_guess():
    gate = Gate(SETTINGS, RECORDS, WrongKeys())
    sent = CIMultiDict({"X-API-Key": KEYS["device"]})
    for _ in range(3 * STRANGER.burst):
        with pytest.raises(NotAuthorised) as refused:
            gate.authorise(sent, MultiDict(), OUTSIDE, Route("operator"), 0.0)
        assert refused.value.reason == "weak_role"
