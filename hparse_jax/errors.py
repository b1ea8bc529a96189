"""Errors that the user can correct: wrong files, values, settings and commands."""


class InputError(ValueError):
    """A wrong input. The message is one line naming the file or field, the value and the remedy.

    The command line prints it without a traceback and exits with 1.
    """


class UsageError(Exception):
    """The command itself is wrong: an unknown flag, a missing or a superfluous argument.

    The command line prints it with the verb's usage and exits with 2.
    """
