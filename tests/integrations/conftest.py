"""Import the frameworks once, outside the rule that warnings are errors: theirs are not ours to mend."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import livekit.agents  # noqa: F401
    import pipecat.audio.utils
    import pipecat.audio.vad.silero
    import pipecat.pipeline.worker
    import pipecat.services.llm_service
    import pipecat.services.stt_service
    import pipecat.workers.runner  # noqa: F401
