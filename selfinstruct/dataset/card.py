"""The dataset card: what the data set is, how it came to be, what it may be used for.

Everything in it is derived from what was recorded with the rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import yaml

from selfinstruct.config import SelfInstructConfig
from selfinstruct.dataset.measures import Measures, Tally
from selfinstruct.dataset.requirements import Requirement

LICENCES = frozenset(
    {
        "apache-2.0",
        "mit",
        "cc0-1.0",
        "cc-by-4.0",
        "cc-by-sa-4.0",
        "cc-by-nc-4.0",
        "cc-by-nc-sa-4.0",
        "odc-by",
    }
)
"""Identifiers that the Hugging Face Hub knows, of licences that data comes under."""

SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}
"""The Hub's size categories, by the number of rows that they end before."""

SHOWN = 20
"""Rows named that may do harm."""
LONGEST = 100
"""Characters of a reason."""


def licence(terms: Mapping[str, int]) -> str | None:
    """The licence of the whole: the one that the terms of every row name; None if there is none.

    Terms name a licence where they are its identifier, alone or with a remark in brackets. Rows of
    different licences make none: which of them covers the whole is for a lawyer to say.
    """
    named = {re.sub(r"\s*\(.*\)\s*$", "", text).strip().lower() for text in terms}
    return named.pop() if len(named) == 1 and named <= LICENCES else None


def card(
    config: SelfInstructConfig, measures: Measures, requirements: Sequence[Requirement]
) -> str:
    """README.md of the data set, with the metadata that the Hub and `datasets` read."""
    sections = (
        f"---\n{_metadata(config, measures)}---",
        f"# Instruction data by {config.generator.name}",
        _introduction(measures),
        "## Use",
        USE,
        "## How it was made",
        _method(config, measures),
        _rejected(measures.rejected),
        "## What demonstration data must be",
        "\n".join(_requirements(requirements)),
        "## Known limits",
        _limits(measures),
        "## Lineage and terms",
        _terms(measures),
    )
    return "\n\n".join(section for section in sections if section) + "\n"


USE = """\
- `data.jsonl`: a row a line: `instruction`, `input`, `output` as in Alpaca, with `id`, `source` and
  `lineage`
- `data_messages.jsonl`: the same rows as conversations (`messages` of `role` and `content`);
  `datasets.load_dataset("json", data_files="data_messages.jsonl")` reads it
- `train.parquet`: the rows once more, `lineage` as JSON in a text; this is what
  `datasets.load_dataset("path/of/this/folder")` reads
- `heldout.jsonl`, `heldout.parquet`: seeds kept apart to measure a trained model on
- `rejected.jsonl`: what was left out, each with its reason
- `measures.json`, `requirements.json`: the figures below, and more"""


def _metadata(config: SelfInstructConfig, measures: Measures) -> str:
    found = licence(measures.terms)
    rows = measures.seeds + measures.generated
    splits = [{"split": "train", "path": "train.parquet"}]
    if measures.heldout:
        splits.append({"split": "heldout", "path": "heldout.parquet"})
    metadata = {
        "pretty_name": f"Instruction data by {config.generator.name}",
        "language": list(measures.languages),
        "license": found or "other",
        **({} if found else {"license_name": "see-terms", "license_link": "README.md"}),
        "size_categories": [next((name for end, name in SIZES.items() if rows < end), "n>1M")],
        "task_categories": ["text-generation"],
        "tags": ["instruction-tuning", "synthetic"],
        "configs": [{"config_name": "default", "data_files": splits}],
    }
    return yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)


def _introduction(measures: Measures) -> str:
    languages = ", ".join(f"{count:,} {lang}" for lang, count in measures.languages.items())
    return f"""\
{measures.seeds:,} rows were written by people (`source: seed`), {measures.generated:,} by a
language model (`source: generated`). Rows by language: {languages}. {measures.with_input:,} have an
input. {measures.heldout:,} more seeds are kept apart: no prompt showed them, and no generated
instruction comes close to one.

**Nobody has checked the generated rows.** They passed filters, which look at form, novelty and
known dangers, not at truth. Expect wrong answers, and the bias and the gaps of the teacher."""


KINDS = {"yes": "classification", "no": "other", "unknown": "unknown"}


def _method(config: SelfInstructConfig, measures: Measures) -> str:
    method, generator, tasks = config.method, config.generator, config.method.tasks
    shown = f"{method.num_seed_examples} seed tasks"
    if method.num_pool_examples:
        shown += f" and up to {method.num_pool_examples} generated tasks"
    kinds = ", ".join(f"{count:,} {KINDS[kind]}" for kind, count in measures.classification.items())
    steps = (
        "Each reply held whole tasks."
        if method.has_one_step
        else "Each reply held instructions; further requests asked\nwhether one is classification, "
        f"and then for its instances. Rows, seeds included: {kinds}."
    )
    benchmarks = ", ".join(config.suite.benchmarks)
    compared = (
        f"None that gives away an item of these benchmarks was\nkept: {benchmarks}."
        if benchmarks
        else "They were compared with no benchmark."
    )
    judge = config.judge.endpoint
    judged = (
        "No model judged them."
        if judge is None
        else f"`{judge.model}` judged the rest, and\nkept what it gave at least "
        f"{config.filters.min_quality} of 10."
    )
    return f"""\
{measures.requests:,} requests for tasks to {generator.name} (`{generator.subject}`), method
`{method.name}`: each showed {shown} and asked for more
(temperature {tasks.temperature}, top_p {tasks.top_p}, at most {tasks.max_tokens} tokens; seed
{config.seed}). {steps}

The filters were `{method.filters.value}`. Of {measures.candidates:,} candidates
{measures.generated:,} were accepted. An instruction was too similar where its ROUGE-L F with one in
the pool was above {config.filters.max_similarity}. {compared} {judged}"""


def _rejected(rejected: Tally) -> str:
    lines = ["| rejected because | candidates |", "|---|---|"]
    for reason, details in rejected.items():
        lines.append(f"| {cell(reason)} | {sum(details.values()):,} |")
        named = (item for item in details.items() if item[0])
        lines += [f"| – {cell(detail)} | {count:,} |" for detail, count in named]
    return "\n".join(lines if rejected else [*lines, "| none | 0 |"])


def _requirements(requirements: Sequence[Requirement]) -> Iterator[str]:
    yield "| it must be | measured by | found | wanted | met | not seen |"
    yield "|---|---|---|---|---|---|"
    for one in requirements:
        met = {True: "yes", False: "**no**", None: "not measured"}[one.met]
        found = "–" if one.found is None else amount(one.found, one.unit)
        wanted = f"{'≥' if one.is_minimum else '≤'} {amount(one.threshold, one.unit)}"
        yield f"| {one.demand} | {one.measure} | {found} | {wanted} | {met} | {one.blind_to} |"


def _limits(measures: Measures) -> str:
    harmful = [f"`{row}` ({cell(reason)})" for row, reason in measures.harmful.items()]
    lines = [
        "The filters are rules about words; the last column above says what they cannot see.",
        "What the teacher cannot do is not in the data, or is wrong there.",
        f"{len(harmful):,} of {measures.checked:,} rows that were looked at again may do harm"
        f"{': ' if harmful else '.'}{', '.join(harmful[:SHOWN])}",
    ]
    for lang, found in measures.diversity.items():
        pairs = found.verb_objects
        lines.append(
            f"{lang}: verb and object come from {pairs.rule}, which found both in {pairs.found:,} "
            f"of {pairs.looked_at:,} instructions."
        )
    return "\n".join(f"- {line}" for line in lines)


def _terms(measures: Measures) -> str:
    found = licence(measures.terms)
    claim = (
        f"Every row is under {found}, which therefore is the licence of the whole."
        if found
        else "No licence covers the whole: the rows' terms differ, or name none. Each row keeps "
        "its own, and whoever uses the data is bound by all of them."
    )
    return f"""\
{claim}

| terms | rows |
|---|---|
{_table(measures.terms)}

| teacher | rows |
|---|---|
{_table(measures.teachers)}

Every row's `lineage` names its language, the seeds and the generated rows that its request showed,
the requests that it took (keys in `ledger.jsonl`), the teacher and the terms; where they are known,
whether it is classification and how close the closest instruction was."""


def _table(counts: Mapping[str, int]) -> str:
    return "\n".join(f"| {cell(name)} | {count:,} |" for name, count in counts.items())


def cell(text: str) -> str:
    """A text as a cell of a Markdown table: one line, without what ends a cell or begins HTML."""
    text = " ".join(text.split())
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    for sign, shown in (("\\", "\\\\"), ("|", "\\|"), ("<", "&lt;"), ("`", "'")):
        text = text.replace(sign, shown)
    return text


def amount(value: float, unit: str) -> str:
    """Counts in full, everything else with three digits that matter."""
    number = f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
    return f"{number} {unit}".strip()
