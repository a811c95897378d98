"""Fail if this environment holds torch: neither the server nor the demo needs it."""

from __future__ import annotations

import importlib.util
import sys

if importlib.util.find_spec("torch") is not None:
    sys.exit("torch is installed in this environment; the service must not need it (see pyproject.toml)")
