"""The dataset card: content, origin, licence and limits of the data set.

Every statement is derived from what was recorded with the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from textwrap import fill as fill_lines

from pacos.cards.metadata import license_fields, single_license, size_category, with_metadata
from pacos.configs.license import terms_record
from pacos.terms.show import markdown
from selfinstruct.config import SelfInstructConfig
from selfinstruct.dataset.measures import Measures, Tally
from selfinstruct.dataset.requirements import Requirement

SHOWN = 20
"""Most harmful rows that the card lists."""
WIDTH = 100
"""Characters per line of the card."""
LONGEST = 100
"""Characters of a table cell; an error message of a service can be a page long."""


def card(
    config: SelfInstructConfig,
    measures: Measures,
    requirements: Sequence[Requirement],
    compute: Sequence[str],
) -> str:
    """Return the README.md of the data set, with the metadata that the Hub and `datasets` read.

    Args:
        config: of the run.
        measures: of the data set.
        requirements: on demonstration data.
        compute: sentences about hardware, hours and energy.
    """
    sections = (
        f"# Instruction data by {config.generator.name}",
        _introduction(measures),
        "## Use",
        USE,
        "## How it was made",
        _method(config, measures),
        _rejected(measures.rejected),
        "## Compute",
        "\n".join(f"- {line}" for line in compute),
        "## Safety",
        _safety(config, measures),
        "## Contamination",
        _contamination(config),
        "## Requirements on demonstration data",
        "\n".join(_requirements(requirements)),
        "## Known limits",
        _limits(measures),
        "## Lineage and terms",
        _terms(config, measures),
    )
    text = "\n\n".join(section for section in sections if section) + "\n"
    return with_metadata(_metadata(config, measures), text)


USE = """\
- `data.jsonl`: one row per line, with `instruction`, `input` and `output` as in Alpaca, and `id`,
  `source` and `lineage`
- `data_messages.jsonl`: the same rows as conversations (`messages` with `role` and `content`);
  load it with `datasets.load_dataset("json", data_files="data_messages.jsonl")`
- `train.parquet`: the same rows again, with `lineage` as JSON text; load it with
  `datasets.load_dataset("path/of/this/folder")`
- `heldout.jsonl`, `heldout.parquet`: seeds kept apart to evaluate a trained model on
- `rejected.jsonl`: the rejected candidates, each with its reason
- `measures.json`, `requirements.json`: the figures below, and more"""


def _metadata(config: SelfInstructConfig, measures: Measures) -> dict[str, object]:
    # Listed, because `datasets` would otherwise guess splits from all files of the folder.
    splits = [{"split": "train", "path": "train.parquet"}]
    if measures.heldout:
        splits.append({"split": "heldout", "path": "heldout.parquet"})
    people = ["expert-generated"] if measures.seeds else []
    machine = ["machine-generated"] if measures.generated else []
    return {
        "pretty_name": f"Instruction data by {config.generator.name}",
        "language": list(measures.languages),
        "multilinguality": "multilingual" if len(measures.languages) > 1 else "monolingual",
        **license_fields(single_license([*measures.terms])),
        "size_categories": [size_category(measures.seeds + measures.generated)],
        "task_categories": ["text-generation"],
        "language_creators": people + machine,
        "annotations_creators": people + machine,
        "source_datasets": ["original"],
        "tags": ["instruction-tuning", "synthetic", "pacos"],
        "configs": [{"config_name": "default", "data_files": splits}],
    }


def _introduction(measures: Measures) -> str:
    languages = ", ".join(f"{count:,} {lang}" for lang, count in measures.languages.items())
    return _paragraphs(
        f"""
        {measures.seeds:,} rows were written by people (`source: seed`), {measures.generated:,} by
        a language model (`source: generated`). Rows by language: {languages}.
        {measures.with_input:,} rows have an input. {measures.heldout:,} more seeds are held out:
        no prompt showed them, and no generated instruction is close to one.
        """,
        """
        **Nobody has checked the generated rows.** They passed filters for form, novelty and known
        dangers, not for truth. Expect wrong answers, and the biases and gaps of the generator.
        """,
    )


KINDS = {"yes": "classification", "no": "other", "unknown": "unknown"}


def _method(config: SelfInstructConfig, measures: Measures) -> str:
    method, generator, tasks = config.method, config.generator, config.method.tasks
    shown = f"{method.num_seed_examples} seed tasks"
    if method.num_pool_examples:
        shown += f" and up to {method.num_pool_examples} generated tasks"
    steps = "Each reply contained whole tasks."
    if not method.has_one_step:
        counts = measures.classification.items()
        kinds = ", ".join(f"{count:,} {KINDS[kind]}" for kind, count in counts)
        steps = (
            "Each reply contained instructions; further requests asked whether each is a "
            f"classification task, then for its instances. Rows, seeds included: {kinds}."
        )
    judged = "No language model judged them."
    if config.judge.endpoint is not None:
        judged = (
            f"`{config.judge.endpoint.model}` scored the rest; candidates below "
            f"{config.filters.min_quality} of 10 were rejected."
        )
    return _paragraphs(
        f"""
        {generator.name} (`{generator.subject}`) answered {measures.requests:,} requests for tasks
        by the method `{method.name}`. Each request showed {shown} and asked for more (temperature
        {tasks.temperature}, top_p {tasks.top_p}, at most {tasks.max_tokens} tokens, seed
        {config.seed}). {steps}
        """,
        f"""
        The filter set was `{method.filters.value}`. Of {measures.candidates:,} candidates
        {measures.generated:,} were accepted. An instruction was too similar if its ROUGE-L F with
        one in the pool exceeded {config.filters.max_similarity}. {judged}
        """,
    )


def _paragraphs(*texts: str) -> str:
    """Return texts as paragraphs of at most `WIDTH` characters a line."""
    # By default textwrap splits at hyphens, which would put a space into the name of a model.
    fill = partial(fill_lines, width=WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n\n".join(fill(" ".join(text.split())) for text in texts)


def _rejected(rejected: Tally) -> str:
    lines = ["| reason for rejection | candidates |", "|---|---|"]
    for reason, details in rejected.items():
        lines.append(f"| {cell(reason)} | {sum(details.values()):,} |")
        named = (item for item in details.items() if item[0])
        lines += [f"| – {cell(detail)} | {count:,} |" for detail, count in named]
    return "\n".join(lines if rejected else [*lines, "| none | 0 |"])


def _requirements(requirements: Sequence[Requirement]) -> Iterator[str]:
    yield "| requirement | measure | value | threshold | met | blind to |"
    yield "|---|---|---|---|---|---|"
    for item in requirements:
        met = {True: "yes", False: "**no**", None: "no value"}[item.met]
        value = "–" if item.found is None else amount(item.found, item.unit)
        threshold = f"{'≥' if item.is_minimum else '≤'} {amount(item.threshold, item.unit)}"
        cells = (item.demand, item.measure, value, threshold, met, item.blind_to)
        yield f"| {' | '.join(cells)} |"


def _safety(config: SelfInstructConfig, measures: Measures) -> str:
    harmful = [f"`{row}` ({cell(reason)})" for row, reason in measures.harmful.items()]
    declined = sum(measures.declined.values())
    lines = [
        f"{len(harmful):,} of {measures.checked:,} rows that were checked again may do harm"
        f"{': ' if harmful else '.'}{', '.join(harmful[:SHOWN])}",
        f"{declined:,} rows rightly decline a dangerous request.",
        "The filters look for known dangers and personal data by rules about words, in the "
        f"languages {', '.join(config.languages())}; they miss what is said otherwise.",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _contamination(config: SelfInstructConfig) -> str:
    if not config.suite.benchmarks:
        return "Candidates were not compared with any benchmark."
    names = ", ".join(config.suite.benchmarks)
    return _paragraphs(
        f"Candidates that give away an item of these benchmarks were rejected: {names}."
    )


def _limits(measures: Measures) -> str:
    lines = [
        "The filters are rules about words; the last column above says what they cannot see.",
        "Tasks that the generator cannot do are missing from the data, or answered wrongly.",
    ]
    for lang, diversity in measures.diversity.items():
        pairs = diversity.verb_objects
        lines.append(
            f"{lang}: verb-object pairs come from {pairs.rule}, with a pair in {pairs.found:,} of "
            f"{pairs.looked_at:,} instructions."
        )
    return "\n".join(f"- {line}" for line in lines)


def _terms(config: SelfInstructConfig, measures: Measures) -> str:
    terms = terms_record(config.stated_inputs(), config.license_policy, config.license_waiver)
    whole = single_license([*measures.terms])
    claim = (
        f"Every row is under {whole}, which is therefore the licence of the whole."
        if whole
        else "No licence covers the whole: the terms of the rows differ, or do not name a licence. "
        "Each row keeps its own, and a user of the data is bound by all of them."
    )
    lineage = """
        The `lineage` of a row names its language, the seeds and generated rows that its request
        showed, the requests that produced it (keys in `ledger.jsonl`), the generator (`teacher`)
        and the terms; where known, also whether it is a classification task and how close the
        nearest instruction is.
        """
    return "\n\n".join(
        (
            _paragraphs(claim),
            f"| terms | rows |\n|---|---|\n{_table(measures.terms)}",
            f"| generator | rows |\n|---|---|\n{_table(measures.teachers)}",
            markdown(terms, "data set"),
            _paragraphs(lineage),
        )
    )


def _table(counts: Mapping[str, int]) -> str:
    return "\n".join(f"| {cell(name)} | {count:,} |" for name, count in counts.items())


def cell(text: str) -> str:
    """Return a text as a cell of a Markdown table: one line, with table and HTML syntax escaped."""
    text = " ".join(text.split())
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    for sign, shown in (("\\", "\\\\"), ("|", "\\|"), ("<", "&lt;"), ("`", "'")):
        text = text.replace(sign, shown)
    return text


def amount(value: float, unit: str) -> str:
    """Format a count in full, and any other number with three significant digits."""
    number = f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
    return f"{number} {unit}".strip()
