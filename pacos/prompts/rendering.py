"""Conversations as text, with the place of each answer."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pacos.data.example import RowError, Turn
from pacos.prompts.formats import MARK

REMEDY = "choose model.prompt_format=llama3 or chatml, or set model.chat_template to one that does"
"""The remedy for a chat template that cannot carry a row."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The text of an assistant turn up to its stop token."""

    turn: int
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Rendering:
    """A conversation as text, to train on some of its answers."""

    text: str
    answers: list[Answer]
    """In the order of the text."""
    trained: Collection[int]
    """Turns that are trained in this text."""

    def answer(self, turn: int) -> Answer | None:
        return next((answer for answer in self.answers if answer.turn == turn), None)


MarkedRendering = tuple[str, list[tuple[int, int]]]
"""A text with the begin and end of each marked part."""


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A Jinja template with the special tokens that it may write."""

    text: str
    special_tokens: Mapping[str, Any]
    """`bos_token`, `eos_token` and others, by the names that templates use."""

    @property
    def has_marks(self) -> bool:
        return MARK.search(self.text) is not None

    def render(
        self,
        turns: Sequence[Turn],
        tools: Sequence[Any] | None = None,
        *,
        add_generation_prompt: bool = False,
    ) -> str:
        """Return turns as text.

        Raises:
            RowError: the template refuses them.
        """
        return self._render([turns], tools, add_generation_prompt=add_generation_prompt)[0][0]

    def render_marked(
        self, turns: Sequence[Turn], tools: Sequence[Any] | None = None
    ) -> MarkedRendering:
        """Return turns as text, and the begin and end of each marked part.

        Raises:
            RowError: the template refuses them.
        """
        return self._render([turns], tools, return_assistant_tokens_mask=True)[0]

    def render_all(
        self, conversations: Sequence[Sequence[Turn]]
    ) -> list[MarkedRendering] | list[None]:
        """Return conversations without tools as `render_marked` does; a list of None if one fails.

        Together they take less time, but an error does not say whose it is.
        """
        try:
            return self._render(conversations, None, return_assistant_tokens_mask=True)
        except RowError:
            return [None] * len(conversations)

    def _render(
        self,
        conversations: Sequence[Sequence[Turn]],
        tools: Sequence[Any] | None,
        **options: bool,
    ) -> list[MarkedRendering]:
        from transformers.utils import chat_template_utils

        # Its annotation says that it returns a single text.
        render: Any = chat_template_utils.render_jinja_template
        try:
            texts, spans = render(
                conversations,
                tools=tools,
                chat_template=self.text,
                **options,
                **self.special_tokens,
            )
        except Exception as error:  # a template may fail in any way on turns it does not expect
            # pacos' own templates name a remedy.
            remedy = "" if "; " in str(error) else "; change the row or the template"
            raise RowError(f"the chat template refuses it: {error}{remedy}") from error
        return list(zip(texts, spans or [[] for _ in texts], strict=True))


def marked(
    template: ChatTemplate,
    turns: Sequence[Turn],
    tools: Sequence[Any] | None,
    wanted: Sequence[int],
    rendered: MarkedRendering | None = None,
) -> list[Rendering]:
    """Return the one text of a template that marks its answers.

    Args:
        template: with generation marks.
        turns: the conversation.
        tools: the functions that the assistant may call.
        wanted: turns to train.
        rendered: the result of `render_marked`, if it is known.

    Raises:
        RowError: the template refuses the conversation, or does not mark each answer once.
    """
    text, spans = rendered or template.render_marked(turns, tools)
    assistants = [number for number, turn in enumerate(turns) if turn["role"] == "assistant"]
    if len(spans) != len(assistants):
        raise RowError(
            f"the chat template marks {len(spans)} of {len(assistants)} answers; mark each with "
            "{% generation %}"
        )
    answers = [Answer(turn, *span) for turn, span in zip(assistants, spans, strict=True)]
    return [Rendering(text, answers, frozenset(wanted))]


@dataclass(frozen=True, slots=True)
class _Derived:
    """One answer in the text that ends with it."""

    text: str
    begin: int
    end: int

    def is_in(self, text: str) -> bool:
        """Return True if a text begins as this one does, up to the end of the answer."""
        return text.startswith(self.text[: self.end])


def derived(
    template: ChatTemplate,
    turns: Sequence[Turn],
    tools: Sequence[Any] | None,
    wanted: Sequence[int],
    stop: str | None,
) -> list[Rendering]:
    """Find each answer in the text that ends with it.

    Without marks, it is what that text has beyond the prompt for the answer. Templates that rewrite
    earlier turns (Qwen3 drops old thoughts) give one text per answer, each as the model sees it
    when it writes that answer; the others give one text for all.

    Args:
        template: the template.
        turns: the conversation.
        tools: the functions that the assistant may call.
        wanted: turns to train, in ascending order.
        stop: token that ends an answer; None to use the template's marks.

    Raises:
        RowError: the template refuses the conversation, or an answer cannot be told from the
            prompt for it.
    """
    found: dict[int, _Derived] = {}
    for number, turn in enumerate(turns):
        if turn["role"] == "assistant":
            try:
                found[number] = _derive(template, turns, tools, number, stop)
            except RowError:
                # An answer without a loss is context, wherever it begins.
                if number in wanted:
                    raise
    whole = template.render(turns, tools)
    # From the last: what agrees with a later text needs none of its own.
    texts: dict[str, list[int]] = {}
    for number in reversed(wanted):
        answer = found[number]
        text = next((text for text in texts if answer.is_in(text)), None)
        if text is None:
            text = whole if answer.is_in(whole) else answer.text
        texts.setdefault(text, []).append(number)
    return [
        Rendering(text, _located(text, found, trained, stop), frozenset(trained))
        for text, trained in reversed(texts.items())
    ]


def _derive(
    template: ChatTemplate,
    turns: Sequence[Turn],
    tools: Sequence[Any] | None,
    number: int,
    stop: str | None,
) -> _Derived:
    if stop is None:
        (rendering,) = marked(template, turns[: number + 1], tools, [number])
        last = rendering.answers[-1]
        return _Derived(rendering.text, last.begin, last.end)
    prompt = template.render(turns[:number], tools, add_generation_prompt=True)
    text = template.render(turns[: number + 1], tools)
    if not text.startswith(prompt):
        same = next(n for n in range(len(prompt)) if text[n : n + 1] != prompt[n])
        raise RowError(
            f"the chat template writes turn {number + 1} otherwise than its generation prompt "
            f"begins: {text[same : same + 20]!r} instead of {prompt[same : same + 20]!r}; {REMEDY}"
        )
    end = text.rfind(stop, len(prompt))
    if end < 0:
        raise RowError(f"the chat template writes no {stop} after turn {number + 1}; {REMEDY}")
    return _Derived(text, len(prompt), end + len(stop))


def _located(
    text: str, found: Mapping[int, _Derived], trained: Collection[int], stop: str | None
) -> list[Answer]:
    """Return the answers in a text, also those that are written otherwise there."""
    answers = []
    for number, answer in found.items():
        if number in trained or answer.is_in(text):
            answers.append(Answer(number, answer.begin, answer.end))
        elif stop is not None and text.startswith(answer.text[: answer.begin]):
            end = text.find(stop, answer.begin)
            if end >= 0:
                answers.append(Answer(number, answer.begin, end + len(stop)))
    return answers


def stop_token_in(rest: str, added: Collection[str]) -> str | None:
    """Return the first of the tokens in the text that follows an answer's content."""
    longest_first = sorted((token for token in added if token.strip()), key=len, reverse=True)
    match = re.search("|".join(map(re.escape, longest_first)) or "(?!)", rest)
    return match.group() if match else None
