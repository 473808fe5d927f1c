"""The requests that change the site (contract.people.site), or several people at once."""

from typing import Any, ClassVar, Literal

import msgspec

from contract.imports import ImportedPerson, ImportedSite
from contract.roles import Role
from contract.terms import FaceRule, LivenessMode, Message, QualityLevel


class _SiteRequest(Message, frozen=True, kw_only=True):
    """The fields of every request that changes the site (contract.people.site), or, `about_people`, several people."""

    request_id: str
    received_time_s: float

    administrative: ClassVar[bool] = True
    about_people: ClassVar[bool] = False

    @property
    def key(self) -> bytes:
        """The key of the request's record and of its event: the request's id."""
        return self.request_id.encode()


SiteAction = Literal["create", "change", "delete"]


class GroupRequest(_SiteRequest, tag="group", tag_field="kind", frozen=True, kw_only=True):
    """Create, change or delete the group `name`. `recursive`: the people who are in this group only are deleted too."""

    action: SiteAction
    name: str
    description: str | None = None
    info: dict[str, Any] | None = None
    recursive: bool = False


class MembersRequest(_SiteRequest, tag="members", tag_field="kind", frozen=True, kw_only=True):
    """Add people to a group, or remove them from it; unknown people are skipped."""

    action: Literal["add", "remove"]
    group_name: str
    identity_ids: tuple[str, ...]

    about_people: ClassVar[bool] = True


class PermissionRequest(_SiteRequest, tag="permission", tag_field="kind", frozen=True, kw_only=True):
    """Create, change or delete a permission, which `permission_id` names or else `name`.

    A create request has the `name`, and may have the `permission_id` of the new permission. `new_name` renames the
    permission. `recursive`: the people who have this permission only are deleted too.
    """

    action: SiteAction
    name: str | None = None
    permission_id: str | None = None
    new_name: str | None = None
    description: str | None = None
    info: dict[str, Any] | None = None
    recursive: bool = False


class DeviceChange(Message, frozen=True, kw_only=True):
    """One device of a DevicesRequest; the fields are those of contract.people.site.DeviceRecord, None: not sent.

    `permission_id`: the id of a permission, or else its name. A request to delete has the `device_id` only.
    """

    device_id: str | None = None
    name: str | None = None
    address: str | None = None
    device_type: str | None = None
    group_id: str | None = None
    permission_id: str | None = None
    details: dict[str, Any] | None = None
    liveness_floor: LivenessMode | None = None
    quality_level: QualityLevel | None = None
    min_face_size: int | None = None


class DevicesRequest(_SiteRequest, tag="devices", tag_field="kind", frozen=True, kw_only=True):
    """Create, change or delete devices; `clear_all` deletes all devices.

    A device to be created replaces the device that has the same address. It has the group and the permission that it
    names, else those of the replaced device, else those that always exist.
    """

    action: SiteAction
    devices: tuple[DeviceChange, ...] = ()
    clear_all: bool = False


class SettingsRequest(_SiteRequest, tag="settings", tag_field="kind", frozen=True, kw_only=True):
    """Set settings of the site (contract.site_settings): name -> value as it was sent; None deletes the setting.

    Each value that can be set is set; the answer names the others. `all_or_none`: where one of them cannot be set, none
    is set.
    """

    values: dict[str, Any]
    all_or_none: bool = False


class WipeRequest(_SiteRequest, tag="wipe", tag_field="kind", frozen=True, kw_only=True):
    """Delete all people with their faces and photos, and all devices."""

    about_people: ClassVar[bool] = True


class EmbeddedFace(Message, frozen=True, kw_only=True):
    """One face of a ReembedRequest: the face `number` of a person.

    `photo_sha256`: the hash of the JPEG from which `templates` were computed (kind of template -> embedding, as in
    contract.people.records.FaceRecord). Both are empty where records are removed.
    """

    identity_id: str
    number: int
    photo_sha256: bytes = b""
    templates: dict[str, bytes] = msgspec.field(default_factory=dict)


class ReembedRequest(_SiteRequest, tag="reembed", tag_field="kind", frozen=True, kw_only=True):
    """Add templates of the embedder with the identity `embedder` to enrolled faces, or remove those of all others.

    To remove, `embedder` must be the embedder in use: only faces that have a record of it lose their other records.

    To add, with which settings of matching the photos were embedded: `face`, the rule by which one of several faces was
    chosen; `covered_templates`, whether templates of covered faces were made where the embedder has curves for them.
    None: unknown.
    """

    action: Literal["add", "remove"]
    embedder: str
    faces: tuple[EmbeddedFace, ...]
    face: FaceRule | None = None
    covered_templates: bool | None = None

    about_people: ClassVar[bool] = True


class ImportRequest(_SiteRequest, tag="import", tag_field="kind", frozen=True, kw_only=True):
    """Import people, and before them the groups and permissions of `site`.

    `restore`: the people come from an export: their templates, infos and numbers are stored as they are.
    `quality_level`: of photos from which embeddings are computed; None: the setting of the processor.
    """

    people: tuple[ImportedPerson, ...] = ()
    site: ImportedSite = ImportedSite()
    restore: bool = False
    quality_level: QualityLevel | None = None

    about_people: ClassVar[bool] = True


class KeyRequest(_SiteRequest, tag="key", tag_field="kind", frozen=True, kw_only=True):
    """Create or delete the API key `name`. `sha256`: the hash of a new key; no request contains the key itself."""

    action: Literal["create", "delete"]
    name: str
    role: Role = "device"
    sha256: bytes = b""


ScopeRequest = GroupRequest | MembersRequest | PermissionRequest
