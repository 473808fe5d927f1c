"""Makes captures from pictures that people have: a CSV list, a folder per person, or the pairs of LFW."""
