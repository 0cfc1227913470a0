"""A running program as the trusted side sees it: a function to call."""

from __future__ import annotations

import builtins
from typing import Any, NoReturn

from eval.sandbox.channel import Channel, DeadlineError, EndedError, MalformedError
from eval.sandbox.values import pack, unpack
from eval.sandbox.verdict import Outcome, ProgramVerdict


class CandidateError(Exception):
    """A program raised an exception that is not a built-in one."""


class CandidateLostError(Exception):
    """A program no longer answers; `Candidate.end` says why."""


class Candidate:
    """The function of a program. Arguments are copies: changes to them stay with the program.

    Args:
        channel: the trusted end.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.end: ProgramVerdict | None = None
        """Why the program can no longer be called; None while it can."""

    def load(self, program: str, entry_point: str) -> None:
        """Run the program's top level and look up its function; on failure `end` is set."""
        try:
            reply = self._ask({"program": program, "entry_point": entry_point})
            if "raised" in reply:
                name, text = self._raised(reply)
                self._lose(Outcome.raised, f"{name}: {text}")
            if reply != {"loaded": True}:
                self._lose(Outcome.malformed, "neither loaded nor raised")
        except CandidateLostError:
            return

    def call(self, *arguments: Any, **named: Any) -> Any:
        """Call the function with plain values.

        Raises:
            CandidateLostError: the program ended, took too long, or sent an invalid reply.
            CandidateError: it raised an exception that is not a built-in one.
            Exception: it raised a built-in exception, which is raised here by its name.
        """
        if self.end is not None:
            raise CandidateLostError(self.end)
        reply = self._ask({"arguments": pack(arguments), "named": pack(named)})
        if "raised" in reply:
            raise _exception(*self._raised(reply))
        try:
            return unpack(reply["returned"])
        except (KeyError, ValueError) as error:
            self._lose(Outcome.malformed, str(error))

    def _ask(self, request: Any) -> dict[str, Any]:
        try:
            self._channel.send(request)
            reply = self._channel.receive()
        except DeadlineError:
            self._lose(Outcome.timed_out)
        except EndedError:
            self._lose(Outcome.ended)
        except MalformedError as error:
            self._lose(Outcome.malformed, str(error))
        if not isinstance(reply, dict):
            self._lose(Outcome.malformed, "a message that is not an object")
        return reply

    def _raised(self, reply: dict[str, Any]) -> tuple[str, str]:
        match reply["raised"]:
            case [str(name), str(text)]:
                return name, text
        self._lose(Outcome.malformed, "an exception without a name")

    def _lose(self, outcome: Outcome, detail: str = "") -> NoReturn:
        self.end = ProgramVerdict.with_text(outcome, detail)
        raise CandidateLostError(self.end)


def _exception(name: str, text: str) -> Exception:
    """Return the built-in exception of that name: tests may expect a ValueError, say.

    Only subclasses of Exception: a KeyboardInterrupt or SystemExit by name would end the tests'
    process.
    """
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        try:
            return kind(text)
        except TypeError:  # UnicodeDecodeError takes five arguments
            pass
    return CandidateError(f"{name}: {text}")
