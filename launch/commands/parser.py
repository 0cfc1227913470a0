"""The argument parser of every command, with one rule for help and for wrong arguments."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import NoReturn

from pacos.errors import UserError


class CommandParser(argparse.ArgumentParser):
    """The arguments of one command. A command that takes overrides finds them in `overrides`.

    Overrides and options may come in any order, which argparse allows no positional argument of a
    subcommand. They are therefore told apart here: what no option consumes is an override.
    """

    def __init__(
        self,
        *,
        prog: str,
        usage: str | None = None,
        description: str | None = None,
        epilog: str | None = None,
    ) -> None:
        super().__init__(
            prog=prog,
            usage=usage,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            # The meaning of an abbreviation would depend on which options exist later.
            allow_abbrev=False,
        )
        self.more_help: Callable[[], str] | None = None
        """Text after the options, made only when help is asked for."""
        self._takes_overrides = False

    def accept_overrides(self, usage: str = "[OPTIONS] KEY=VALUE…") -> None:
        """Collect arguments that belong to no option in `overrides`."""
        self.usage = f"{self.prog} {usage}"
        self._takes_overrides = True
        self.set_defaults(overrides=[])

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse the arguments of this command; nothing unknown is left to the caller."""
        parsed, rest = super().parse_known_args(args, namespace)
        if self._takes_overrides:
            parsed.overrides = [item for item in rest if not item.startswith("-")]
            rest = [item for item in rest if item.startswith("-")]
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return parsed, []

    def format_help(self) -> str:
        more = f"\n{self.more_help()}\n" if self.more_help else ""
        return super().format_help() + more

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments like every other mistake of the user, with the usage."""
        # The message gets the prefix `pacos: ` when it is printed.
        command = self.prog.partition(" ")[2]
        subject = f"{command}: " if command else ""
        raise UserError(f"{subject}{message}\n{self.format_usage().strip()}")


def positive(text: str) -> int:
    """Return the number that an option is given, for `type=`.

    Raises:
        argparse.ArgumentTypeError: It is not an integer of at least 1.
    """
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be an integer of at least 1")
    return int(text)
