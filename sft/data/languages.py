"""The languages of the training rows, for the manifest and the model card."""

from __future__ import annotations

import random
from collections import Counter

from pacos.model.protocols import Tokenizer
from pacos.seeds import derived_seed
from pacos.text.language import language
from sft.data.mixture import Mixture

SAMPLED = 500
"""Rows looked at, in about 0.2 s."""
LEAST_SHARE = 0.02
"""Smallest share of the sampled rows that names a language: below it, single quotations would."""


def languages(data: Mixture, tokenizer: Tokenizer, seed: int) -> list[str]:
    """Return the ISO 639-1 codes of the rows' languages, the most frequent first.

    Rows whose language is not told apart (code, short answers) count for none.
    """
    rows = range(len(data))
    drawn = random.Random(derived_seed(seed, "languages")).sample(rows, min(SAMPLED, len(data)))
    texts = (
        tokenizer.decode(data.row(row).ids.tolist(), skip_special_tokens=True) for row in drawn
    )
    found = Counter(filter(None, map(language, texts)))
    return [code for code, count in found.most_common() if count >= LEAST_SHARE * len(drawn)]
