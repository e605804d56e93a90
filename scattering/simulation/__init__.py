"""Simulated frames, with the truth in the gaps."""
