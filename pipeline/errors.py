"""The one error that wazn shows to its users."""


class WaznError(Exception):
    """Bad input: one sentence that says where, what was expected and what to do.

    The command line prints it without a traceback and exits with code 2. It never carries text
    of a patient; a row is named by its source and line, or by its id.
    """
