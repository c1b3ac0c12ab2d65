"""Measurements for docs/results."""
