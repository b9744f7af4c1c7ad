"""What was typed after `cola-search` or `cola-voids`, taken apart."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from cola_search.errors import UserError
from cola_search.hydra_source import quote_names

_MULTIRUN = ("-m", "--multirun")
CONFIG_DIR = ("--config-dir", "-cd")
_CONFIG = ("--cfg", "-c")
_SHOWING = (*_CONFIG, "--info", "-i", "--hydra-help", "--help", "-h", "--version", "--shell-completion", "-sc")
"""What makes Hydra tell something instead of running; its other flags, such as --config-dir, only change how it runs."""
_WITH_VALUE = (*_CONFIG, "--package", "-p", *CONFIG_DIR, "--info", "-i")


@dataclass
class Command:
    """A command line, taken apart: `flags` go to Hydra as they are, `overrides` are KEY=VALUE."""

    flags: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)

    @property
    def sweep(self) -> bool:
        """Whether it asks for several jobs."""
        return self.has(_MULTIRUN)

    @property
    def runs(self) -> bool:
        """Whether it runs anything, rather than showing something."""
        return not self.has(_SHOWING)

    @property
    def shows_settings(self) -> bool:
        """Whether it shows the settings that it would run with."""
        return self.has(_CONFIG)

    @property
    def config_dir(self) -> str | None:
        """The folder of more configuration files that was typed. Raises UserError if it is none."""
        return config_dir(self.flags)

    def has(self, names: Sequence[str]) -> bool:
        """Whether one of the flags was typed."""
        return any(flag.partition("=")[0] in names for flag in self.flags)


def read_command(arguments: Sequence[str]) -> Command:
    """The command line taken apart, flags and overrides in any order. Raises UserError for a stray word."""
    command = Command()
    for before, argument in zip(["", *arguments], arguments, strict=False):
        if argument.startswith("-"):
            command.flags.append(argument)
        elif "=" in argument or argument.startswith("~"):
            command.overrides.append(quote_names(argument))
        elif before in _WITH_VALUE:
            command.flags.append(argument)
        else:
            raise UserError(f"{argument}: write KEY=VALUE, as in model={argument}; see `cola-search --help`.")
    return command


def config_dir(arguments: Sequence[str]) -> str | None:
    """The folder of more configuration files that is named among them. Raises UserError if it is none."""
    for argument, following in zip_longest(arguments, arguments[1:]):
        name, _, value = argument.partition("=")
        if name not in CONFIG_DIR:
            continue
        folder = value or following or ""
        if not (folder and Path(folder).is_dir()):
            raise UserError(f"{name}={folder} is not a folder: name one with configuration files in it.")
        return folder
    return None


def without_config_dir(arguments: Sequence[str]) -> list[str]:
    """The arguments without that folder and its flag."""
    pairs = zip(["", *arguments], arguments, strict=False)
    return [text for before, text in pairs if before not in CONFIG_DIR and text.partition("=")[0] not in CONFIG_DIR]
