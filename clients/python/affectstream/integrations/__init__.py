"""Adapters for voice agents' frameworks, each an extra: `affectstream[pipecat]`, `affectstream[livekit]`.

What both share keeps one rule: the agent's pipeline never waits for the server, except for a reply's
guidance, and then no longer than was stated.
"""
