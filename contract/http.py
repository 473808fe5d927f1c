"""The HTTP interface as servers and clients name it: paths of the calls, and headers of the answers."""

MATCH_PATH = "/SophonMatch/api/PictureMatch"
COMPARE_PATH = "/SophonMatch/api/compare"
FIQA_PATH = "/SophonFace/api/FIQA"
FIQA_V6_PATH = "/sophon/v2/face/fiqa"
USERS_PATH = "/SophonFogSys/api/users"

GALLERY_VERSION_HEADER = "X-Gallery-Version"
"""The gallery version that an answer about people is true of."""

UNCHANGED_HEADER = "X-Unchanged"
"""The header of an answer to an enrolment that repeated an earlier one; its value is true."""
