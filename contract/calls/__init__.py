"""The declarations of the HTTP calls: fields, rules, answers and errors of each, as values."""
