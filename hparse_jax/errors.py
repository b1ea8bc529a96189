"""What a user can mend: wrong files, wrong values, wrong settings."""


class InputError(ValueError):
    """A wrong input. The message is one line naming the file or field, the value and the remedy.

    The command line prints it without a traceback and exits with 1.
    """
