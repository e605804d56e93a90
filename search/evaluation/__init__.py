"""The held-out test set, touched once: what it says of every method."""
