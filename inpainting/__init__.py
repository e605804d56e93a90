"""A trained model at work: the file it is passed on in, the frames it fills, the uncertainty of its fills."""

MODEL = "model.safetensors"
"""The model file in a run's folder."""
