"""Filling users' frames with what a search has found."""
