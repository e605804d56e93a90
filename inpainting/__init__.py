"""A run's winner at work: the file it is passed on in, what it fills, and how far that is to be believed."""
