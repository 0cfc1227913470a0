"""The chat template of a model: a format of pacos, or the tokenizer's."""

from __future__ import annotations

from collections.abc import Sequence

from pacos.data.example import RowError, Turn
from pacos.errors import UserError
from pacos.model.protocols import Tokenizer
from pacos.prompts.formats import FORMATS, Format, PromptFormat
from pacos.prompts.rendering import ChatTemplate, Rendering, derived, stop_token_in
from pacos.prompts.thoughts import OPEN, empty_thought_end
from pacos.prompts.traits import Traits

PROBE: Sequence[Turn] = (
    {"role": "user", "content": "How many legs has an alpaca?"},
    {"role": "assistant", "content": "Four."},
    {"role": "user", "content": "And a goose?"},
    {"role": "assistant", "content": "Two."},
)
"""A conversation with two answers, to see how a template writes them."""

PROBE_WITH_THOUGHTS: Sequence[Turn] = tuple(
    {**turn, "reasoning_content": "A known fact."} if turn["role"] == "assistant" else turn
    for turn in PROBE
)
"""The same for templates whose generation prompt begins with `<think>`."""


def format_of(tokenizer: Tokenizer, prompt_format: PromptFormat | None) -> Format:
    """Return a format, or with None the tokenizer's chat template.

    Raises:
        UserError: the format is None and the tokenizer has no chat template.
    """
    if prompt_format is not None:
        return FORMATS[prompt_format]
    if not tokenizer.chat_template:
        raise _template_error("is missing; set model.chat_template to a Jinja file")
    return Format(tokenizer.get_chat_template(), None)


def stop_token_id(tokenizer: Tokenizer, prompt_format: PromptFormat | None) -> int:
    """Return the id of the token that ends an answer.

    Raises:
        UserError: the tokenizer's vocabulary lacks the token, or the template writes none.
    """
    chosen = format_of(tokenizer, prompt_format)
    if prompt_format is None:
        return _stop_id_of_template(tokenizer, chosen.template)
    name = chosen.stop_token or tokenizer.eos_token
    number = None if name is None else tokenizer.get_vocab().get(name)
    if number is None:
        raise UserError(
            f"model.prompt_format = {prompt_format.name}: its stop token {name} is not in the "
            "tokenizer's vocabulary; choose a format that the model's tokenizer has"
        )
    return int(number)


def _stop_id_of_template(tokenizer: Tokenizer, text: str) -> int:
    """Return the id of eos if a template writes it after each answer, else of the first token."""
    template = ChatTemplate(text, dict(tokenizer.special_tokens_map))
    try:
        rendered = template.render(PROBE)
    except RowError as error:
        raise _template_error(f"cannot be used: {error}") from error
    _, written, rest = rendered.rpartition(PROBE[-1]["content"])
    if not written:
        raise _template_error("does not write the answers of a conversation")
    added = tokenizer.backend_tokenizer.get_added_tokens_decoder()
    ids: dict[str, int] = {token.content: number for number, token in added.items()}
    # Some templates end an answer with several tokens, eos the last.
    first_rest = rendered.partition(PROBE[1]["content"])[2].partition(PROBE[2]["content"])[0]
    eos = tokenizer.eos_token
    stop = eos if eos in ids and eos in rest and eos in first_rest else stop_token_in(rest, ids)
    if stop is None:
        raise _template_error(
            "ends an answer with no token of the tokenizer, so the model would never learn to "
            "stop; write {{ eos_token }} after it",
        )
    return ids[stop]


def check_template(template: ChatTemplate, stop: str) -> None:
    """Check that every answer of a probe is found, up to its stop token.

    Args:
        template: not one of pacos' own.
        stop: token that ends an answer.

    Raises:
        UserError: one is not, or a template's marks differ from what generation writes.
    """
    answers = [number for number, turn in enumerate(PROBE) if turn["role"] == "assistant"]
    by_difference = None
    try:
        by_difference = _by_difference(template, answers, stop)
    except RowError as error:
        if not template.has_marks:
            raise _template_error(f"cannot be used: {error}") from error
    if not template.has_marks:
        return
    text, spans = template.render_marked(PROBE)
    if len(spans) != len(answers):
        raise _template_error(
            f"marks {len(spans)} of {len(answers)} answers; put {{% generation %}} before each "
            "answer and {% endgeneration %} behind the token that ends it",
        )
    by_marks = {number: text[slice(*span)] for number, span in zip(answers, spans, strict=True)}
    if not all(stop in answer for answer in by_marks.values()):
        raise _template_error(
            f"does not mark the stop token {stop} after an answer, so the model would never learn "
            "to stop; put {% endgeneration %} behind it",
        )
    for number, answer in (by_difference or {}).items():
        if _comparable(answer) != _comparable(by_marks[number]):
            raise _template_error(
                f"marks {by_marks[number]!r} as an answer, but what follows the generation "
                f"prompt is {answer!r}; move the marks",
            )


def _by_difference(
    template: ChatTemplate, answers: Sequence[int], stop: str
) -> dict[int, str] | None:
    """Return the answers of the probe without regard to marks; None if they hold thoughts.

    Raises:
        RowError: they cannot be found.
    """
    try:
        renderings = derived(template, PROBE, None, answers, stop)
    except RowError:
        derived(template, PROBE_WITH_THOUGHTS, None, answers, stop)
        return None
    return {turn: _text(rendering, turn) for rendering in renderings for turn in rendering.trained}


def _text(rendering: Rendering, turn: int) -> str:
    answer = rendering.answer(turn)
    assert answer is not None, "every trained turn is located"
    return rendering.text[answer.begin : answer.end]


def _comparable(answer: str) -> str:
    """Return an answer without its empty thought and the blanks around it.

    The thought may be opened in the generation prompt, and still be marked as a whole.
    """
    return answer[
        empty_thought_end(OPEN + answer, len(OPEN), len(OPEN + answer)) - len(OPEN) :
    ].strip()


def _template_error(fault: str) -> UserError:
    formats = ", ".join(PromptFormat.__members__)
    return UserError(
        f"model.prompt_format = null: the chat template {fault}; or choose one of: {formats}"
    )


def prompt_text(
    tokenizer: Tokenizer,
    prompt_format: PromptFormat | None,
    turns: Sequence[Turn],
) -> str:
    """Return the prompt for the next assistant turn."""
    joined = [Traits().prepared(turn) for turn in turns] if prompt_format is None else [*turns]
    text: str = tokenizer.apply_chat_template(
        joined,
        chat_template=format_of(tokenizer, prompt_format).template,
        tokenize=False,
        add_generation_prompt=True,
    )
    return text
