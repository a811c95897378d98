"""Examples that Hypothesis makes take as long as the machine lets them: tests assert no times."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
