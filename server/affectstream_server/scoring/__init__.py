"""Scoring: one protocol, `Scorer`, and those who speak it."""
