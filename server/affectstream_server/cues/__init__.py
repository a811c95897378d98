"""Cues: properties of a voice that are measured, not learned, such as its pitch. Plain numpy, no sockets."""
