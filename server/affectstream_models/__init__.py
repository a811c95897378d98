"""Models for the service: made, judged, exported."""

import os

# See `affectstream_server`: ONNX Runtime tells nobody of what runs here.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
