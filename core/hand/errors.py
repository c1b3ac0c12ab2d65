"""What can be wrong with a hand file, in a sentence."""


class HandError(ValueError):
    """The hand file cannot be used; the message says why and what to do."""
