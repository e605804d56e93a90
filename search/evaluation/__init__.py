"""What the test set says: methods, scores, pictures."""
