"""The embedded model for Triton's Python backend; everything is in the installed package."""

from __future__ import annotations

from typing import Any

import triton_python_backend_utils as pb_utils

from affectstream_server.scoring.triton_target import TritonTarget


class TritonPythonModel:
    """What Triton looks for in this file."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model and prove it on the canary."""
        self._target = TritonTarget(args, pb_utils)

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response for each request."""
        return self._target.execute(requests)
