"""Filled frames written back as detector files, one frame at a time."""
