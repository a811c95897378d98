"""One error for everything a user of `affectstream-models` can put right."""

from __future__ import annotations


class ModelsError(Exception):
    """Its message is one line that says what is wrong and what to do; the command line prints it alone."""
