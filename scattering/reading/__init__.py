"""Detector files of any format, read one frame at a time."""
