"""Where the time went: spans, metrics and logs. Off unless the settings say otherwise."""
