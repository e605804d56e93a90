"""The evaluation on the test set: methods, scores, pictures."""
