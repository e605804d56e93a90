"""The pictures of the page: a file each, with what it shows (rows), how (figure) and in which words (caption)."""
