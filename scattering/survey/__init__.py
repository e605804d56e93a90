"""What detector files hold, found out before they are prepared: sensors, valid pixels, groups."""
