"""The declarations of the HTTP calls: values that describe the fields, rules, answers and errors of each call."""
