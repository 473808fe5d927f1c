"""The HTTP interface as servers and clients name it: paths of the calls, and headers of the answers."""

MATCH_PATH = "/SophonMatch/api/PictureMatch"
COMPARE_PATH = "/SophonMatch/api/compare"
FIQA_PATH = "/SophonFace/api/FIQA"
USERS_PATH = "/SophonFogSys/api/users"

GALLERY_VERSION_HEADER = "X-Gallery-Version"
"""The header that contains the gallery version to which an answer about people refers."""

UNCHANGED_HEADER = "X-Unchanged"
"""The header, with the value true, of the answer to an enrolment that repeated an earlier enrolment."""
