"""Clients of a running server: the HTTP client, and the enrolment of many people."""
