"""From an item of an evaluation to the training rows that may explain its answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch.lineage.nearest import nearest
from launch.lineage.rows import FoundRow, show_hash, text_and_requests, trained_rows
from pacos.data.sources import open_source
from pacos.errors import UserError
from pacos.files import read_json, read_jsonl
from pacos.lineage.library import Library, Model, Run
from pacos.lineage.records import TrainingData, read_rows, source_configs, texts_of
from pacos.run_paths import GEVAL_ANSWERS, EvalPaths

SHOWN_ROWS = 5
SHOWN_ITEMS = 10
"""Most ids that a message names."""
LONGEST = 2000
"""Characters shown of a text."""


@dataclass(frozen=True, slots=True)
class Item:
    """An item of a task, with the answer of the evaluated model."""

    id: str
    text: str
    """Everything that the item says."""
    lines: list[str]
    """Prompt, expected answer, the model's answer and its scores, for a person."""
    failed: bool
    """True if one of its scores is 0."""


def rows_of_item(run: Run, asked: str, library: Library) -> Iterator[str]:
    """Yield an item, the rows that hold it, and the rows nearest to it with their requests.

    Args:
        run: an evaluation.
        asked: TASK:ID.
        library: the search for the model's training run.

    Raises:
        UserError: there is no such item, or the training run of the model is not known.
    """
    task, _, item_id = asked.partition(":")
    item = _item(run, task, item_id)
    model = library.evaluated(run, "target")
    maker = None if model is None else library.maker_of_model(model)
    if model is None or maker is None:
        raise UserError(
            f"{run.paths.path}: its target, {run.config().get('target')}, is no model of a pacos "
            f"sft run below {library.root}; name the folder of that run with --root"
        )
    yield f"item {item_id} of {task} in {run.paths.path}"
    yield from (f"  {line}" for line in item.lines)
    yield ""
    yield f"answered by {model.folder}, step {model.step} of {maker.paths.path}"
    yield from _leaks(run, task, item_id)
    yield from _nearest(item, model, maker, library)


def _leaks(run: Run, task: str, item_id: str) -> Iterator[str]:
    file = EvalPaths(run.paths.eval).contamination
    if not file.is_file():
        return
    leaks = read_json(file)["leaks"].get(task, {}).get(item_id, [])
    yield f"training rows that contain the item: {len(leaks) or 'none'}"
    for leak in leaks[:SHOWN_ROWS]:
        yield f"  {leak['row']} ({leak['sign']})"


def _nearest(item: Item, model: Model, maker: Run, library: Library) -> Iterator[str]:
    rows = trained_rows(maker)
    trained = {} if rows is None else _first_steps(rows.contents.tolist(), rows.steps.T.tolist())

    def texts() -> Iterator[tuple[FoundRow, str]]:
        for config in source_configs(maker.paths):
            try:
                data = TrainingData(open_source(config.path), config)
            except UserError:
                continue
            for row in read_rows(data):
                text = texts_of(row.example.content)
                if text is not None:
                    yield FoundRow(data, row), "\n".join(text)

    def seen() -> Iterator[tuple[FoundRow, str]]:
        for found, text in texts():
            if rows is None or trained.get(found.content, model.step + 1) <= model.step:
                yield found, text

    best = nearest(item.text, seen, SHOWN_ROWS)
    if not best:
        yield "its training rows share no word with the item, or their data sets are gone"
        return
    yield "nearest training rows by common words, which proves no influence"
    for score, found in best:
        yield f"  {score:.3f}  {show_hash(found.content)}  {found.place}"
    yield ""
    yield f"the nearest, {show_hash(best[0][1].content)}"
    yield from text_and_requests(best[0][1], library)


def _first_steps(contents: list[int], steps: list[list[int]]) -> dict[int, int]:
    """Return the first step that trained on each content."""
    first: dict[int, int] = {}
    for content, of_row in zip(contents, steps, strict=True):
        own = [step for step in of_row if step]
        if own:
            first[content] = min(*own, first.get(content, own[0]))
    return first


def _item(run: Run, task: str, item_id: str) -> Item:
    tasks = _tasks(run)
    if task not in tasks:
        known = ", ".join(tasks) or "none yet"
        raise UserError(f"--item {task}:{item_id}: no such task; {run.paths.path} has: {known}")
    items = list(tasks[task])
    for item in items:
        if item.id == item_id:
            return item
    failed = [item.id for item in items if item.failed] or [item.id for item in items]
    more = f" and {len(failed) - SHOWN_ITEMS} more" if len(failed) > SHOWN_ITEMS else ""
    raise UserError(
        f"--item {task}:{item_id}: no such item; failed ones: "
        f"{', '.join(failed[:SHOWN_ITEMS])}{more}"
    )


def _tasks(run: Run) -> dict[str, Iterator[Item]]:
    """Return the items that the target answered, by task or rubric."""
    tasks: dict[str, Iterator[Item]] = {}
    for folder in sorted(run.paths.eval.glob("*/target")):
        for file in sorted(folder.glob("samples_*.jsonl")):
            tasks[file.stem.removeprefix("samples_").rpartition("_")[0]] = _harness_items(file)
        answers = list(read_jsonl(folder / GEVAL_ANSWERS))
        for rubric in dict.fromkeys(answer["rubric"] for answer in answers):
            tasks[rubric] = (_answer(each) for each in answers if each["rubric"] == rubric)
    return tasks


def _harness_items(file: Path) -> Iterator[Item]:
    for line in read_jsonl(file):
        scores = {name: line[name] for name in line.get("metrics", ()) if name in line}
        prompt = line.get("arguments", {}).get("gen_args_0", {}).get("arg_0", "")
        yield Item(
            id=str(line["doc_id"]),
            text="\n".join(_texts(line["doc"])),
            lines=[
                *_shown("asked", str(prompt)),
                *_shown("expected", str(line.get("target"))),
                *_shown("answered", str(line.get("filtered_resps"))),
                "scores: " + ", ".join(f"{name} {value}" for name, value in scores.items()),
            ],
            failed=0 in scores.values(),
        )


def _answer(line: Mapping[str, Any]) -> Item:
    lines = [*_shown("asked", line["source"]), *_shown("answered", line["output"])]
    return Item(str(line["id"]), line["source"], lines, failed=False)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from (text for each in value.values() for text in _texts(each))
    elif isinstance(value, list):
        yield from (text for each in value for text in _texts(each))


def _shown(heading: str, text: str) -> Iterator[str]:
    yield heading
    yield from (f"| {line}".rstrip() for line in text[:LONGEST].splitlines())
