"""The one exception type a user is meant to read."""


class MicrotuneError(Exception):
    """Bad input or an impossible request; the message says what, where and what to do.

    The command line prints it and exits with code 2.
    """
