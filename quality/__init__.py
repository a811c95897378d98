"""Judges of what the server hears: how well utterances are found in talks with known times."""
