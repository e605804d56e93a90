"""Quality and speed of a model's fills on frames at their own size."""
