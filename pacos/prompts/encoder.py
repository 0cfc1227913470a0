"""Training rows as tokens: what generation will see, with a loss where the assistant writes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pacos.data.example import Content, Conversation, RawText, RowError, TokenIds, Turn
from pacos.errors import UserError
from pacos.model.protocols import Tokenizer
from pacos.prompts.choice import check_template, format_of, stop_token_id
from pacos.prompts.formats import FORMATS, PromptFormat
from pacos.prompts.presence import left_out
from pacos.prompts.rendering import (
    REMEDY,
    ChatTemplate,
    MarkedRendering,
    Rendering,
    derived,
    marked,
)
from pacos.prompts.restrictions import check_only_text, control_tokens, texts_of
from pacos.prompts.thoughts import empty_thought_end, split_content, thought_end
from pacos.prompts.tokenization import MarkedText, Region, TextTokenizer
from pacos.prompts.tokens import IGNORE, EncodedRow, Reason, TokenizedRow
from pacos.prompts.traits import Traits


@dataclass(frozen=True)
class Encoder:
    """A prompt format with a tokenizer.

    Worker processes get it by pickling: it is small, and they need neither torch nor the
    tokenizer's Python class.
    """

    template: ChatTemplate
    prompt_format: PromptFormat | None
    """None for a template that is not pacos' own."""
    stop_id: int
    """Token that ends an answer."""
    tokens: TextTokenizer
    vocabulary: int
    """Number of tokens, added ones included."""
    traits: Traits
    only_last: bool = False
    """Only the last answer of a conversation has a loss."""
    train_on_reasoning: bool = True

    @classmethod
    def of(
        cls,
        tokenizer: Tokenizer,
        prompt_format: PromptFormat | None,
        *,
        only_last: bool = False,
        train_on_reasoning: bool = True,
    ) -> Encoder:
        """Return the encoder of a format, or with None of the tokenizer's chat template.

        Args:
            tokenizer: of the model.
            prompt_format: the format; None for the tokenizer's chat template.
            only_last: train the last answer of a conversation alone.
            train_on_reasoning: train the thoughts of the assistant.

        Raises:
            UserError: the tokenizer lacks the format's stop token. With None: there is no template,
                or one whose answers or stop tokens cannot be found.
        """
        chosen = format_of(tokenizer, prompt_format)
        template = ChatTemplate(chosen.template, dict(tokenizer.special_tokens_map))
        encoder = cls(
            template=template,
            prompt_format=prompt_format,
            stop_id=stop_token_id(tokenizer, prompt_format),
            tokens=TextTokenizer.of(tokenizer.backend_tokenizer, tokenizer.eos_token_id),
            vocabulary=len(tokenizer),
            traits=Traits() if prompt_format is not None else Traits.of(template),
            only_last=only_last,
            train_on_reasoning=train_on_reasoning,
        )
        if prompt_format is None:
            check_template(template, encoder.stop_token)
        return encoder

    def fingerprint(self) -> str:
        """Return a hash of everything that decides the tokens of a row."""
        parts = (
            self.template.text,
            sorted((name, str(value)) for name, value in self.template.special_tokens.items()),
            None if self.prompt_format is None else self.prompt_format.name,
            self.stop_id,
            # As a whole: a vocabulary of the same name may differ by one token.
            self.tokens.backend.to_str(),
            [*self.tokens.before],
            [*self.tokens.after],
            self.only_last,
            self.train_on_reasoning,
        )
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def encode(self, contents: Sequence[Content]) -> list[list[EncodedRow] | RowError]:
        """Tokenize rows.

        Returns:
            For each, in order: its examples, of which there are several if the chat template
            rewrites earlier turns; or the reason why it cannot be used.
        """
        rendered = self._rendered_together(contents)
        drafts = [
            self._drafted(content, rendered.get(number)) for number, content in enumerate(contents)
        ]
        texts = [
            draft
            for row in drafts
            if not isinstance(row, RowError)
            for draft in row
            if isinstance(draft, MarkedText)
        ]
        encoded = iter(self.tokens.encode(texts) if texts else [])
        return [row if isinstance(row, RowError) else _finished(row, encoded) for row in drafts]

    def _rendered_together(self, contents: Sequence[Content]) -> dict[int, MarkedRendering | None]:
        """Render plain conversations with one call; it takes a tenth off the time of all."""
        if self.prompt_format is None:
            return {}
        plain = {
            number: content.turns
            for number, content in enumerate(contents)
            if isinstance(content, Conversation) and not content.tools
        }
        return dict(zip(plain, self.template.render_all([*plain.values()]), strict=True))

    def _drafted(
        self, content: Content, rendered: MarkedRendering | None
    ) -> Sequence[MarkedText | EncodedRow] | RowError:
        try:
            if isinstance(content, TokenIds):
                return [self._given(content)]
            token = self.control_token_in(content)
            if token is not None:
                raise RowError(
                    f"its text holds the control token {token}, which a tokenizer cannot tell from "
                    "text; remove it, or write it otherwise"
                )
            if isinstance(content, RawText):
                text = content.prompt + content.text
                region = Region(len(content.prompt), len(text), Reason.trained)
                return [MarkedText(text, [region], is_raw=True)]
            renderings = self._rendered(content, rendered)
            return [
                MarkedText(rendering.text, self._regions(content, rendering))
                for rendering in renderings
            ]
        except RowError as error:
            return error

    def _given(self, row: TokenIds) -> EncodedRow:
        ids, labels = (np.array(part, dtype=np.int64) for part in (row.ids, row.labels))
        if len(ids) != len(labels):
            raise RowError(
                f"has {len(ids)} input_ids, but {len(labels)} labels; tokenize the row again"
            )
        wrong = np.flatnonzero((ids < 0) | (ids >= self.vocabulary))
        if len(wrong):
            raise RowError(
                f"input_ids[{wrong[0]}] = {ids[wrong[0]]} is not in the tokenizer's vocabulary of "
                f"{self.vocabulary} tokens; tokenize the row again"
            )
        wrong = np.flatnonzero((labels != ids) & (labels != IGNORE))
        if len(wrong):
            raise RowError(
                f"labels[{wrong[0]}] = {labels[wrong[0]]} is neither the id at its place, "
                f"{ids[wrong[0]]}, nor {IGNORE}; tokenize the row again"
            )
        reasons = np.where(labels == IGNORE, Reason.given, Reason.trained).astype(np.uint8)
        if len(reasons) and reasons[0] == Reason.trained:
            reasons[0] = Reason.first
        return EncodedRow(ids.astype(np.int32), reasons)

    def _rendered(self, content: Conversation, rendered: MarkedRendering | None) -> list[Rendering]:
        """Return the texts of a conversation.

        Raises:
            RowError: the template cannot write the conversation, or not all of it.
        """
        wanted = self._wanted(content)
        turns, tools = content.turns, content.tools or None
        if tools is not None and not all(isinstance(tool, dict) for tool in tools):
            raise RowError("tools: each must be an object with the name of a function; write one")
        if self.prompt_format is not None:
            if FORMATS[self.prompt_format].only_text:
                check_only_text(content, self.prompt_format)
            return marked(self.template, turns, tools, wanted, rendered)
        lacking = self.traits.lacking(content)
        if lacking is not None:
            raise RowError(f"the chat template does not write {lacking}; {REMEDY}")
        turns = [self.traits.prepared(turn) for turn in turns]
        if not self.template.has_marks:
            renderings = derived(self.template, turns, tools, wanted, self.stop_token)
            missing = left_out(content.turns, tools, renderings)
        else:
            renderings = marked(self.template, turns, tools, wanted)
            missing = left_out(content.turns, tools, renderings)
            if missing is not None:
                # The marks of the last turn alone hold its thought.
                renderings = derived(self.template, turns, tools, wanted, None)
                missing = left_out(content.turns, tools, renderings)
        if missing is not None:
            raise RowError(f"the chat template leaves out {missing}; {REMEDY}")
        return renderings

    def _wanted(self, content: Conversation) -> list[int]:
        """Return the turns with a loss."""
        answers = [
            number for number, turn in enumerate(content.turns) if turn["role"] == "assistant"
        ]
        if not answers:
            raise RowError("no turn of the assistant, so nothing to learn; remove the row")
        wanted = [
            number
            for number in (answers[-1:] if self.only_last else answers)
            if number not in content.untrained
        ]
        if not wanted:
            which = "the last turn" if self.only_last else "no turn"
            has = "has no" if self.only_last else "has a"
            raise RowError(
                f"{which} of the assistant {has} loss, so nothing to learn; remove the row"
            )
        return wanted

    def _regions(self, content: Conversation, rendering: Rendering) -> list[Region]:
        regions = []
        for answer in rendering.answers:
            begin, end = answer.begin, answer.end
            if answer.turn not in rendering.trained:
                is_turn = answer.turn in content.untrained
                regions.append(Region(begin, end, Reason.turn if is_turn else Reason.earlier))
                continue
            thoughts, _ = split_content(content.turns[answer.turn])
            if not thoughts:
                cut, reason = empty_thought_end(rendering.text, begin, end), Reason.empty_thought
            elif self.train_on_reasoning:
                cut, reason = begin, Reason.thought
            else:
                cut = thought_end(rendering.text, begin, end, thoughts[-1])
                reason = Reason.thought
            if cut > begin:
                regions.append(Region(begin, cut, reason))
            regions.append(Region(cut, end, Reason.trained))
        return regions

    @property
    def stop_token(self) -> str:
        token: str = self.tokens.backend.id_to_token(self.stop_id)
        return token

    def control_token_in(self, content: Content) -> str | None:
        """Return a control token that the text of a row contains, or None."""
        for text in texts_of(content):
            match = self._control_tokens.search(text)
            if match:
                return match.group()
        return None

    @cached_property
    def _control_tokens(self) -> re.Pattern[str]:
        return control_tokens(self.tokens.backend, self.template)


def _finished(
    row: Sequence[MarkedText | EncodedRow], encoded: Iterator[EncodedRow | RowError]
) -> list[EncodedRow] | RowError:
    """Return the examples of a row, or its first error."""
    results = [next(encoded) if isinstance(draft, MarkedText) else draft for draft in row]
    examples = []
    for result in results:
        if isinstance(result, RowError):
            return result
        examples.append(result)
    return examples


def encode(
    tokenizer: Tokenizer,
    prompt_format: PromptFormat | None,
    conversations: Sequence[Sequence[Turn]],
) -> list[TokenizedRow]:
    """Tokenize a few conversations with all answers in one text; see `Encoder`.

    Raises:
        UserError: the format or template cannot be used, or cannot write a conversation.
    """
    encoder = Encoder.of(tokenizer, prompt_format)
    rows = []
    for number, result in enumerate(
        encoder.encode([Conversation([*turns]) for turns in conversations]), start=1
    ):
        if isinstance(result, RowError):
            raise UserError(f"conversation {number}: {result}") from result
        if len(result) != 1:
            raise UserError(
                f"conversation {number}: the chat template rewrites earlier turns, so that one "
                "text cannot hold all answers; choose a prompt format"
            )
        rows.append(TokenizedRow(result[0].ids, result[0].labels))
    return rows
