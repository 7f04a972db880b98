"""Receivers: what a vendor pushes is authenticated, landed, and only then acknowledged."""
