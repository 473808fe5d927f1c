"""The HTTP interface as servers and clients name it: paths of the calls, and headers of the answers."""

import re

MATCH_PATH = "/SophonMatch/api/PictureMatch"
COMPARE_PATH = "/SophonMatch/api/compare"
FIQA_PATH = "/SophonFace/api/FIQA"
DETECT_PATH = "/SophonFace/api/detect"
V6_PATH = "/sophon/v2/face"
"""The path of the calls of version 6, without the name of the call."""
FIQA_V6_PATH = f"{V6_PATH}/fiqa"
USERS_PATH = "/SophonFogSys/api/users"
KEYS_PATH = "/picturematch/api/keys"
REEMBED_PATH = "/picturematch/api/reembed"
IMPORT_PATH = "/picturematch/api/import"
GROUPS_PATH = "/SophonFogSys/api/groups"
GROUP_USERS_PATH = "/SophonFogSys/api/GroupUsers"
PERMISSIONS_PATH = "/SophonFogSys/api/permissions"
GROUP_IDS_PATH = "/SophonFace/api/groups"
PERMISSION_IDS_PATH = "/SophonFace/api/permissions"
DEVICES_PATH = "/SophonDevice/api/Devices"
EVENTS_PATH = "/SophonFace/api/events"
PICTURE_SEARCH_PATH = "/SophonMatch/api/picturesearch"
SEEN_PATH = "/picturematch/api/seen"
EVENT_COUNTS_PATH = "/picturematch/api/event_counts"
EVENT_IMAGES_PATH = "/SophonFace/api/event_images/{image_id}"
IMAGES_PATH = "/SophonFace/api/images/{image_id}"
CONFIGS_PATH = "/SophonConfig/api/Configs"
CONFIG_PATH = f"{CONFIGS_PATH}/{{name}}"
PRETTY_SCORE_PATH = "/SophonFogSys/api/PrettyScore"
HISTORY_EVENT_URL_PATH = "/SophonFogSys/api/HistoryEventUrl"
WIPE_DATA_PATH = "/SophonFogSys/api/WipeData"

GALLERY_VERSION_HEADER = "X-Gallery-Version"
"""The header that contains the gallery version to which an answer about people refers."""

UNCHANGED_HEADER = "X-Unchanged"
"""The header, with the value true, of the answer to an enrolment that repeated an earlier enrolment."""

REPLAY_OF_HEADER = "X-Replay-Of"
"""The header of a call that replays an earlier request; its value is the id of that request. Administrators only."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def is_request_id(text: str) -> bool:
    """Return whether a text may be a request id: 1 to 128 letters, digits, dots, colons, hyphens, underscores."""
    return _REQUEST_ID.fullmatch(text) is not None
