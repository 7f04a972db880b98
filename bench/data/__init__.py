"""Seeded data, each with its truth."""
