"""Fixtures for plans that are made without dbt."""

from plan.desk import open_desk

__all__ = ["open_desk"]
