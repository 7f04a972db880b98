"""Uploaders: a sealed plan to its vendors, every attempt and answer to the ledger."""
