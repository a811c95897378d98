"""The Affectstream server: audio frames in over gRPC, one affect event for each utterance out."""

__version__ = "0.1.0"
