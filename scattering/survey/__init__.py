"""The survey of detector files before they are prepared: sensors, valid pixels, groups."""
