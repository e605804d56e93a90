"""The view of a run under way, for people and for programs."""
