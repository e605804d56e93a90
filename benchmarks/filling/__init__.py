"""What fills by a model are worth on frames at their own size, and how fast they are."""
