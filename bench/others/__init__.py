"""Complete face pipelines, each as a child process that `bench.side_by_side` starts.

What each speaks, a line of JSON at a time: on its standard input ``{"path": ..., "face": "centred" | "largest"}``; on
its standard output first ``{"ready": NAME AND VERSION, "score": "cosine" | "distance"}``, then for each path
``{"embedding": [...] or null, "wall_ms": ..., "cpu_ms": ...}``: null where it finds no face. The milliseconds are those
from the file's bytes to the embedding; reading the file and writing the answer are not in them.
"""
