"""The report of a replay: what differs, how often, and how good both systems are where the truth is known.

kinds       the kinds of differences, a closed classification
values      the values of a report; their JSON is the report's
views       what a report reads from a decision
truth       who passed, joined from a badge log
tallies     counted errors of recognition: whole, by device and by group
scores      score histograms and figures by threshold
latency     counted times and their percentiles
report      adds rows up to findings
tables      the findings as tables of text
lines       a row as a line of text
plots       the geometry of the plots
people      who is enrolled, and which photo a face was enrolled with
thumbnails  small pictures of the differing decisions
page        the HTML file
junit       the JUnit file

Everything but the files' writers is pure, and no memory grows with the number of rows.
"""
