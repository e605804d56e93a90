"""The one exception that a user is meant to read."""


class InputError(ValueError):
    """Input of the user's that cannot be used.

    The message is one line that names the rule, the value got and the way out; commands print it
    and exit with code 2. Anything else that escapes is a defect of ours and keeps its traceback.
    """


def one_line(error: Exception) -> str:
    """Return the message of an error as part of one line."""
    return " ".join(str(error).split())[:200]
