"""The one exception that a user is meant to read."""


class InputError(ValueError):
    """What the user gave cannot be used.

    The message is one line that names the rule, the value got and the way out; commands print it
    and exit with code 2. Anything else that escapes is a defect of ours and keeps its traceback.
    """
