"""The exceptions that a user is meant to read."""

from __future__ import annotations

from pathlib import Path


class InputError(ValueError):
    """Input of the user's that cannot be used.

    The message is one line that names the rule, the value got and the way out; commands print it
    and exit with code 2. Anything else that escapes is a defect of ours and keeps its traceback.
    """


class UnreadableError(InputError):
    """One of several files cannot be read; the others can."""

    def __init__(self, message: str, path: Path) -> None:
        super().__init__(message)
        self.path = path


def one_line(error: Exception) -> str:
    """Return the message of an error as part of one line."""
    return " ".join(str(error).split())[:200]
