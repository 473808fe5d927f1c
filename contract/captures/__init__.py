"""The capture format: match requests kept as a folder or an archive, so that they can be decided again and compared.

A capture is::

    capture.json              a Manifest
    requests.jsonl            one CaptureLine per match request, in the order of the requests
    people.jsonl              one PeopleLine per record of the people topic: the people as of
                              `Manifest.people_from`, then every change since
    configs.jsonl             one ConfigLine per policy and model set that the decisions name
    pictures/<sha256>.jpg     each picture and photo once, the bytes as they were posted
    looks/<model set>.jsonl   one LookLine per picture that a replay has looked at, by the id of its model set

Every line of a .jsonl file is a JSON object whose last member is a checksum (contract.captures.sealed).
docs/captures.md describes the format for other programs. The modules of this package define the values of a capture and
convert them to and from bytes; the room `capture` reads and writes the files. Unknown fields are ignored, so that an
older program can read a capture to which a newer program has added fields; a field that changes its meaning needs a new
format version.
"""
