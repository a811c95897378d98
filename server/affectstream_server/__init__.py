"""The Affectstream server: audio frames in over gRPC, one affect event for each utterance out."""

import os

__version__ = "0.1.0"

# ONNX Runtime's own builds for Linux tell their maker of each start and each model, and keep files for that
# in the home folder (1.29 and later). It reads this once, when it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
