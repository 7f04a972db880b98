"""Answers for people: explain, status, members, the report page."""
