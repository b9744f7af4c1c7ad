"""The error that a user can cause and cure, and what to quote of one that a library raises."""


class UserError(ValueError):
    """One sentence that names the key or file at fault and the remedy; the command line prints it and exits with 2."""


class FolderRefused(UserError):
    """The folder belongs to another run or another process, so that nothing may be written into it."""


def first_line(error: BaseException) -> str:
    """The first line of what an exception says, or its type where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
