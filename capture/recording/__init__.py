"""Records match requests from the log into a capture, with everything that is needed to decide them again.

    values         which requests are recorded, and the counts of a recording
    selection      whether a capture may be continued with other options
    requests       reads the requests
    join           joins requests with their events
    decisions      reads the events
    evidence       reads the evidence of events
    people         copies the people topic, and finds from which gallery version on the people can be folded
    people_index   the photos of people, and the numbers of people and faces at a version
    configs        reads the policies, the model sets and the checkpoints of the gallery
    photos         stores the photos of people
    credentials    leaves out what may give access to other systems, of every capture
    redaction      replaces ids and names by pseudonyms
    redaction_key  the file of the key of pseudonyms
    recorder       records, with all of these

The modules credentials, join, people_index, redaction, selection and values are pure. What a line of requests.jsonl
needs is durable before the line: the pictures, then the people, then the policies and model sets. So a recording that
was killed can be continued.
"""
