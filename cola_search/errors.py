"""The error that a user can cause and cure."""


class UserError(ValueError):
    """One sentence that names the key or file at fault and the remedy; the command line prints it and exits with 2."""


class FolderRefused(UserError):
    """The folder belongs to another run or another process, so that nothing may be written into it."""
