"""Replaces ids and names in a capture by pseudonyms, so that it can be decided again and names nobody. Pure.

A pseudonym is computed from the text and a secret key (HMAC-SHA-256), so the same text has the same pseudonym in every
capture of that key, and nobody can compute the text without the key. What decisions need stays: types, validity and
pass times, who has which group and permission, templates, thresholds, and the IP addresses of devices, by which a
request finds its device. A device that is known by a host name, which may be that of a room or a person, has a
pseudonym there. The group and the permission that always exist keep their ids and names. Free fields are left out, and
so is what `without_credentials` leaves out of every capture. Pictures and embeddings stay, and remain biometric.
"""

import hmac
from collections.abc import Container, Mapping
from typing import Any

import msgspec
from msgspec import structs

from capture.recording.credentials import without_credentials
from contract.addresses import canonical_address, is_ip_address
from contract.captures.values import CapturedDecision, CaptureLine, PeopleLine
from contract.codec import encode
from contract.pass_times import pass_times_of
from contract.people.keys import FaceKey, NotReadable, PersonKey, SiteKey, face_key, parse_key, person_key, site_key
from contract.people.records import FaceRecord, PersonRecord
from contract.people.site import (
    DeviceRecord,
    GroupRecord,
    PermissionRecord,
    SettingRecord,
    SiteRecord,
    read_site_record,
    site_key_of,
)
from contract.people.unreadable import read_face, read_person
from contract.people.validity import VALID_FROM, VALID_UNTIL
from contract.terms import DEFAULT_GROUP, DEFAULT_PERMISSION, PHOTO_DEVICE

_DIGITS = 16
_NO_TIME = False
"""Stands for an end of a validity that is no number, so that no time is valid: it is no number either."""

_json = msgspec.json.Encoder(order="deterministic")


class Redaction:
    """The pseudonyms of one key; `name` identifies the key without revealing it."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.name = self._digest("key", "")

    def identity(self, identity_id: str) -> str:
        """Return the pseudonym of a person's id; that of nobody ("") is "" too."""
        return self._pseudonym("person", identity_id)

    def group(self, text: str) -> str:
        """Return the pseudonym of the id or of the name of a group."""
        return text if text == DEFAULT_GROUP else self._pseudonym("group", text)

    def permission(self, text: str) -> str:
        """Return the pseudonym of the id or of the name of a permission."""
        return text if text == DEFAULT_PERMISSION else self._pseudonym("permission", text)

    def address(self, text: str) -> str:
        """Return an IP address of a device as it is, and the pseudonym of a host name, the same however it is spelled.

        An IP address with a zone, which is a text that somebody chose (RFC 4007), has a pseudonym too.

        The pseudonym of a pseudonym is another one.
        """
        address = canonical_address(text)
        return address if is_ip_address(address) and "%" not in address else self._pseudonym("address", address)

    def request_line(self, line: CaptureLine) -> CaptureLine:
        """Return a line of requests.jsonl with pseudonyms."""
        sent = line.request
        request = structs.replace(
            sent,
            device_ip=None if sent.device_ip is None else self.address(sent.device_ip),
            group_name=None if sent.group_name is None else self.group(sent.group_name),
            permission_name=None if sent.permission_name is None else self.permission(sent.permission_name),
            compare_time_raw=None,
            grab_fiqa_info=None,
        )
        expected = line.expected_identity_id
        return structs.replace(
            line,
            request=request,
            decision=None if line.decision is None else self._decision(line.decision),
            expected_identity_id=None if expected is None else self.identity(expected),
        )

    def people_line(self, original: PeopleLine, photos: Container[bytes] = ()) -> PeopleLine | None:
        """Return a line of people.jsonl with pseudonyms and without credentials; None: the line is left out.

        A record that no fold can read stays unreadable, and loses its value. `photos`: the sha256 of the photos that
        the capture has; the records of faces name no other ones.
        """
        line = without_credentials(original)
        if line is None:
            return None
        try:
            named = parse_key(line.key)
        except NotReadable:
            digest = self._digest("unreadable", line.key.decode("utf-8", "backslashreplace"))
            value = None if line.value is None else b""
            return structs.replace(line, key=b"unreadable/" + digest.encode(), value=value)
        if isinstance(named, PersonKey):
            key = person_key(self.identity(named.identity_id))
        elif isinstance(named, FaceKey):
            key = face_key(self.identity(named.identity_id), named.number, named.embedder)
        else:
            key = site_key(SiteKey(named.kind, self._site_id(named)))
        return structs.replace(
            line, key=key, value=None if line.value is None else self._value(named, line.value, photos)
        )

    def _decision(self, decision: CapturedDecision) -> CapturedDecision:
        scope = decision.scope
        if scope is not None:
            permission = scope.permission_name
            scope = structs.replace(
                scope,
                group_name=self.group(scope.group_name),
                permission_name=None if permission is None else self.permission(permission),
            )
        return structs.replace(
            decision,
            identity_id=self.identity(decision.identity_id),
            scope=scope,
            searched=tuple(
                structs.replace(face, identity_id=self.identity(face.identity_id), name="")
                for face in decision.searched
            ),
            candidates=tuple(
                structs.replace(candidate, identity_id=self.identity(candidate.identity_id))
                for candidate in decision.candidates
            ),
        )

    def _value(self, key: PersonKey | FaceKey | SiteKey, value: bytes, photos: Container[bytes]) -> bytes:
        try:
            if isinstance(key, PersonKey):
                return encode(self._person(read_person(key, value)))
            if isinstance(key, FaceKey):
                return encode(self._face(read_face(key, value, embedder=None, dimension=0)[0], photos))
            return encode(self._site_record(read_site_record(key, value)))
        except NotReadable:
            return b""

    def _person(self, person: PersonRecord) -> PersonRecord:
        return structs.replace(
            person,
            identity_id=self.identity(person.identity_id),
            group_ids=tuple(map(self.group, person.group_ids)),
            info=self._info(person),
        )

    def _info(self, person: PersonRecord) -> dict[str, Any]:
        """Return what decisions need of a person's info, and one pseudonym for everything else."""
        info: dict[str, Any] = {}
        if person.name:
            info["name"] = self._pseudonym("name", person.name)
        if "type" in person.info:
            info["type"] = person.person_type
        if isinstance(person.info.get("permission_ids"), list):
            info["permission_ids"] = list(map(self.permission, person.permission_ids))
        for end in (VALID_FROM, VALID_UNTIL):
            time = person.info.get(end)
            if time is not None:
                info[end] = time if isinstance(time, int | float) else _NO_TIME
        rest = {name: value for name, value in person.info.items() if name not in info}
        if rest:
            info["redacted"] = self._pseudonym("info", _json.encode(rest).decode())
        return info

    def _face(self, face: FaceRecord, photos: Container[bytes]) -> FaceRecord:
        is_there = face.photo is not None and face.photo.sha256 in photos
        photo = structs.replace(face.photo, sent_sha256=None) if face.photo is not None and is_there else None
        return structs.replace(face, identity_id=self.identity(face.identity_id), photo=photo)

    def _site_id(self, key: SiteKey) -> str:
        if key.kind == "group":
            return self.group(key.id)
        if key.kind == "permission":
            return self.permission(key.id)
        return self._pseudonym("device", key.id) if key.kind == "device" else key.id

    def _site_record(self, record: SiteRecord) -> SiteRecord:
        if isinstance(record, GroupRecord):
            return GroupRecord(group_id=self.group(record.group_id), name=self.group(record.name))
        if isinstance(record, PermissionRecord):
            return PermissionRecord(
                permission_id=self.permission(record.permission_id),
                name=self.permission(record.name),
                info=_pass_times(record.info),
            )
        if isinstance(record, DeviceRecord):
            return structs.replace(
                record,
                device_id=self._site_id(site_key_of(record)),
                name=self._pseudonym("device", record.name),
                address=self.address(record.address),
                device_type=PHOTO_DEVICE if record.device_type == PHOTO_DEVICE else "other",
                group_id=self.group(record.group_id),
                permission_id=self.permission(record.permission_id),
            )
        if isinstance(record, SettingRecord):
            return record
        raise NotReadable("a record of this kind is left out")

    def _pseudonym(self, kind: str, text: str) -> str:
        return f"{kind}-{self._digest(kind, text)}" if text else ""

    def _digest(self, kind: str, text: str) -> str:
        data = f"{kind}/{text}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, data, "sha256").hex()[:_DIGITS]


def _pass_times(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the weekly schedule in a permission's info; one that cannot be read contains no time, and stays so."""
    value = info.get("pass_times")
    if value is None:
        return {}
    return {"pass_times": value if pass_times_of(info) else []}
