"""The commands of `picturematch` with the first sentence of each one's help.

`picturematch --help` lists them from here, because importing every command takes several times as long. A test compares
the sentences with those of the commands.
"""

from collections.abc import Mapping

COMMANDS: Mapping[str, str] = {
    "serve": "Answer PictureMatch calls, with all roles in one process.",
    "ingest": "Accept PictureMatch calls and publish their requests to Kafka; processors in other processes answer.",
    "process": "Process the requests that ingresses publish to Kafka, and publish events and replies.",
    "topics": "Create, check and describe the topics on Kafka.",
    "demo": "Demonstrate PictureMatch: a stranger, an enrolment, a match, and two refusals.",
    "models": "Install, list and verify the networks, and take over other embedders.",
    "enrol": "Enrol the people of PATH at a running server.",
    "migrate": "Enrol the groups, permissions, people and devices of a running box at a running server.",
    "match": "Match a face of FILE with the people enrolled at a running server.",
    "compare": "Compare the face in FACE, a camera's picture, with the face in CARD.",
    "fiqa": "Measure the quality of the faces of FILE, the largest first.",
    "calibrate": "Measure on the photos of PATH how similar different people are for the installed embedder.",
    "events": "Print the events of a data folder, one JSON object per line, oldest first.",
    "seen": "Rank the faces of past matches by their similarity to the largest face of FILE.",
    "sink": "Write every event to a destination; a later run continues after the last event that was written.",
    "record": (
        "Record match requests, so that they can be decided again: the fields and pictures that devices sent, the "
        "decisions with their evidence, and the people, groups, permissions, devices and policies of then."
    ),
    "capture": "Make captures from pictures, check captures, and pack a capture into one file.",
    "replay": "Decide the requests of a capture again and report which decisions differ.",
    "explain": (
        "Explain one decision: what was seen, each check with its value and limit, the nearest people, and which "
        "single changes would have led to another outcome."
    ),
    "dead-letters": "Show requests that could not be processed, and send them again.",
    "people": "List, add, change, import, export, delete and erase people; find records of them that cannot be read.",
    "keys": "Create, list and delete the API keys of a running server.",
    "audit": "Print who asked for which change of people or of the site, and from where, oldest first.",
    "groups": "List, add, change and delete groups of people at a running server.",
    "permissions": "List, add, change and delete permissions at a running server.",
    "devices": "Show, add, change and delete devices, and list which are silent or send pictures of no use.",
    "access": (
        "Check whether the person WHO (an id, or a name) would pass at DEVICE (its address), and print each check."
    ),
    "health": "Print whether a server is ready, or the reasons why not.",
    "config": (
        "Print every setting with its effective value and its source: default, settings file, environment variable "
        "or command line."
    ),
    "log": "Back up and restore the log; check and rewrite the embedded log.",
}
