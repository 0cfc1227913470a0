"""A program at work behind the walls, as the trusted side sees it: a function to be called."""

from __future__ import annotations

import builtins
from typing import Any, NoReturn

from eval.sandbox.channel import Channel, EndedError, LateError, MalformedError
from eval.sandbox.values import pack, unpack
from eval.sandbox.verdict import Outcome, Verdict


class CandidateError(Exception):
    """A program raised an exception that is not built in."""


class CandidateLostError(Exception):
    """A program no longer answers; what became of it is in `Candidate.end`."""


class Candidate:
    """The function of a program. Arguments are copies: what it does to them stays with it.

    Args:
        channel: the trusted end.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.end: Verdict | None = None
        """Why it can no longer be called; None while it can."""

    def load(self, program: str, entry_point: str) -> None:
        """Run the program's top level and find its function; `end` says if that failed."""
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
            CandidateLostError: it ended, took too long, or answered in another form.
            CandidateError: it raised an exception that is not built in.
            Exception: what it raised, of the built-in class of that name.
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
        except LateError:
            self._lose(Outcome.timed_out)
        except EndedError:
            self._lose(Outcome.ended)
        except MalformedError as error:
            self._lose(Outcome.malformed, str(error))
        if not isinstance(reply, dict):
            self._lose(Outcome.malformed, "no object")
        return reply

    def _raised(self, reply: dict[str, Any]) -> tuple[str, str]:
        match reply["raised"]:
            case [str(name), str(text)]:
                return name, text
        self._lose(Outcome.malformed, "an exception without a name")

    def _lose(self, outcome: Outcome, detail: str = "") -> NoReturn:
        self.end = Verdict.saying(outcome, detail)
        raise CandidateLostError(self.end)


def _exception(name: str, text: str) -> Exception:
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        try:
            return kind(text)
        except TypeError:
            pass
    return CandidateError(f"{name}: {text}")
