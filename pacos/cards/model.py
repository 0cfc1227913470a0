"""The model card: README.md of an exported model, written from the records of its run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pacos.cards.compute import training_lines
from pacos.cards.metadata import license_fields, model_license, with_metadata
from pacos.cards.scores import Score, model_index, score_table, scores_in_card
from pacos.data.layout import LocationError
from pacos.data.location import locate
from pacos.errors import UserError
from pacos.files import atomic_write, read_json, read_jsonl
from pacos.lineage.library import Library, Run, data_files, read_model, read_run
from pacos.lineage.records import source_configs
from pacos.model.paths import EMBEDDED, looks_local
from pacos.run_paths import DataPaths, EvalPaths
from pacos.terms.record import read_record
from pacos.terms.show import markdown
from pacos.tracking import metrics

CARD = "README.md"
LOSSES = {"last training loss": metrics.LOSS, "validation loss": metrics.VALIDATION_LOSS}
"""Losses that a card names, and their keys in metrics.jsonl."""


def model_card(run: Run, origin: Mapping[str, Any], library: Library) -> str:
    """Return the card of a model.

    Args:
        run: the training run that it comes from.
        origin: content of its origin.json; hashes of its files are not needed.
        library: the runs that made its data or evaluated it.

    Raises:
        UserError: an older version of pacos recorded the run.
    """
    if "rows" not in run.manifest:
        raise UserError(
            f"{run.paths.manifest} lacks the number of rows: an older version of pacos made the "
            "run; export with that version"
        )
    scores = scores_in_card(origin, library)
    makers = _makers_of_data(run, library)
    name, terms = _name(run), read_record(run.paths)
    base = _base_model(run, library)
    metadata = {
        **license_fields(model_license(terms["inputs"])),
        "base_model": base,
        "base_model_relation": "finetune" if base else None,
        "datasets": _datasets(run),
        "language": run.manifest.get("languages"),
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["pacos", "sft", "full-fine-tuning", *(["synthetic"] if makers else [])],
        "model-index": model_index(name, scores),
    }
    sections = {
        f"# {name}": _introduction(run, origin),
        "## Recipe": _recipe(run, origin),
        "## Data": "\n".join(_data(run, makers)),
        "## Compute": "\n".join(f"- {line}" for line in training_lines(run.paths, origin["step"])),
        "## Scores": score_table(scores) if scores else NO_SCORES,
        "## Safety": _safety(scores, makers),
        "## Contamination": _contamination(scores, makers),
        "## Limits": _limits(run, makers),
        "## Lineage": _lineage(run, origin),
        "## Terms": markdown(terms, "model"),
    }
    text = "\n\n".join(f"{heading}\n\n{body}" for heading, body in sections.items())
    return with_metadata(metadata, f"{text}\n")


def renew_card(folder: Path, library: Library) -> None:
    """Write the card of an exported model again, with the scores that are known by now.

    Does nothing for a folder without such a model, or if its training run is not in the library.
    """
    model = read_model(folder)
    run = None if model is None else library.maker_of_model(model)
    if model is not None and run is not None:
        atomic_write(folder / CARD, model_card(run, model.origin, library))


NO_SCORES = (
    "No evaluation of this model was recorded when the card was written; `pacos eval` makes one, "
    "and `pacos export` writes the card with it."
)


def _name(run: Run) -> str:
    """Return the name of a run; of a pipeline's, that of the pipeline."""
    around = run.paths.path.absolute().parent
    return around.name if read_run(around) is not None else run.paths.path.name


def _makers_of_data(run: Run, library: Library) -> list[Run]:
    """Return the selfinstruct runs that wrote the rows."""
    found = (
        library.maker_of_data(file["sha256"], run.absolute(file["path"]))
        for file in data_files(run).values()
    )
    return [*{id(maker): maker for maker in found if maker is not None}.values()]


def _base_model(run: Run, library: Library) -> str | None:
    """Return the hub's id of the weights; of a model that pacos made, that of its own base."""
    weights = run.inputs.get("weights")
    if weights is not None:
        base = next((each for each in library.models if each.digest == weights["sha256"]), None)
        maker = None if base is None else library.maker_of_model(base)
        return None if maker is None else _base_model(maker, library)
    path = str(run.config()["model"]["path"])
    # The hub takes it for a link: a local path there would make the card invalid.
    return None if path.startswith(EMBEDDED) or looks_local(run.absolute(path)) else path


def _datasets(run: Run) -> list[str]:
    """Return the data sets of the hub that the rows are from."""
    names = []
    for config in source_configs(run.paths):
        try:
            location = locate(config.path)
        except LocationError:
            continue
        if location.on_hub:
            names.append(str(location.path))
    return [*dict.fromkeys(names)]


def _shown(path: str) -> str:
    """Return a path for a card that others read: of a local one the name alone."""
    return Path(path).name if looks_local(path) else path


def _introduction(run: Run, origin: Mapping[str, Any]) -> str:
    name = run.config()["model"]["name"]
    is_new = run.config()["model"].get("init") == "random"
    trained = "trained from random weights" if is_new else "fully fine-tuned"
    return (
        f"{name}, {trained} with pacos on "
        f"{run.manifest['rows']:,} rows for {origin['step']:,} steps; weights in "
        f"{origin['dtype']}. It answers in the chat format of its tokenizer."
    )


def _recipe(run: Run, origin: Mapping[str, Any]) -> str:
    config = run.config()
    model, optimizer, schedule = config["model"], config["optimizer"], config["schedule"]
    batch, data, versions = config["batch"], config["data"], run.manifest.get("versions", {})
    size = f"{batch['rows']} rows" if batch.get("rows") else f"{batch['tokens']:,} tokens"
    template = model.get("prompt_format") or "a chat template of its own"
    records = [
        line for line in read_jsonl(run.paths.metrics) if line[metrics.STEP] <= origin["step"]
    ]
    losses = {
        name: next((line[key] for line in reversed(records) if line.get(key) is not None), None)
        for name, key in LOSSES.items()
    }
    shown = [f"{name} {loss:.4f}" for name, loss in losses.items() if loss is not None]
    supervised = sum(line.get(metrics.SUPERVISED_TOKENS, 0) for line in records)
    facts = {
        "weights at the start": _shown(model["path"]),
        "prompt format": f"{template}; saved as the tokenizer's chat template",
        "end of an answer": "any id of `eos_token_id` in generation_config.json",
        "steps": f"{origin['step']:,} of {size} each, {batch['layout']}",
        "tokens": f"{sum(line.get(metrics.TOKENS, 0) for line in records):,}, of which "
        f"{supervised:,} with a loss",
        "longest row": f"{data['max_length']:,} tokens",
        "optimizer": f"AdamW, peak learning rate {optimizer['lr']:g}, weight decay "
        f"{optimizer['weight_decay']:g}, gradients clipped at {optimizer['max_grad_norm']:g}",
        "schedule": f"{schedule['decay']}, warm-up over {schedule['warmup_ratio']:.0%} of the run",
        "precision": f"{config['precision']}, ZeRO stage {config['deepspeed']['stage']}",
        "seed": config["seed"],
        "nats per token": ", ".join(shown) or "not recorded",
        "software": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }
    return "| | |\n|---|---|\n" + "\n".join(f"| {key} | {value} |" for key, value in facts.items())


def _data(run: Run, makers: Sequence[Run]) -> Iterator[str]:
    for config in source_configs(run.paths):
        weight = "" if config.weight == 1 else f", {config.weight:g} times an epoch"
        yield f"- `{_shown(config.path)}`{weight}"
    for maker in makers:
        generator = maker.config().get("generator", {}).get("name")
        yield f"- written by {generator} in the run `{_name(maker)}`, which has a data card"
    for kind in ("dropped", "quarantined"):
        left_out = sum(1 for _ in read_jsonl(run.paths.excluded_rows(kind)))
        if left_out:
            yield f"- {left_out:,} rows {kind}, completely or in part"


def _safety(scores: Sequence[Score], makers: Sequence[Run]) -> str:
    tasks = dict.fromkeys(score.task for score in scores if score.is_about_safety)
    lines = [
        f"Evaluated on {', '.join(tasks)}: see the scores."
        if tasks
        else "No evaluation of bias, truthfulness or refusals is recorded "
        "(`pacos eval suite=safety` makes one).",
        "Fine-tuning can weaken the refusals of the weights it starts from. Nobody has attacked "
        "this model on purpose.",
    ]
    for maker in makers:
        file = DataPaths(maker.paths.data).measures
        if file.is_file():
            found = read_json(file)
            lines.append(
                f"{len(found['harmful']):,} of {found['checked']:,} generated training rows that "
                "were checked again may do harm; "
                f"{sum(found['declined'].values()):,} rows decline a dangerous request."
            )
    return "\n".join(f"- {line}" for line in lines)


def _contamination(scores: Sequence[Score], makers: Sequence[Run]) -> str:
    lines = []
    for run in {id(score.run): score.run for score in scores}.values():
        file = EvalPaths(run.paths.eval).contamination
        if file.is_file():
            found = read_json(file)
            suite = run.config().get("suite", {}).get("name")
            lines.append(
                f"{found['flagged']:,} of {found['items']:,} items of {suite} share text with the "
                f"{found['rows']:,} training rows."
            )
    for maker in makers:
        names = (maker.config().get("suite") or {}).get("benchmarks")
        if names:
            lines.append(f"Generated rows were compared with {', '.join(names)} and cleaned.")
    if not lines:
        lines = ["The training rows were not compared with any benchmark."]
    lines.append("What the weights at the start had seen is not known.")
    return "\n".join(f"- {line}" for line in lines)


def _limits(run: Run, makers: Sequence[Run]) -> str:
    longest = run.config()["data"]["max_length"]
    lines = [
        f"It was trained on rows of at most {longest:,} tokens; longer conversations are untested.",
        "It can state falsehoods with confidence, and repeats biases of its rows and of the "
        "weights it started from.",
    ]
    if makers:
        lines.append(
            "It was trained on text of a language model that nobody has checked: errors and gaps "
            "of that model are passed on."
        )
    languages = run.manifest.get("languages")
    if languages:
        lines.append(f"Its rows are in: {', '.join(languages)}. Other languages are untested.")
    return "\n".join(f"- {line}" for line in lines)


def _lineage(run: Run, origin: Mapping[str, Any]) -> str:
    facts = {
        "run": f"`{_name(run)}`, identity `{origin['identity']}`",
        "rows": "<br>".join(
            f"{Path(file['path']).name} `{file['sha256']}`" for file in data_files(run).values()
        ),
        "tokens": f"`{origin['data']}`",
        "code": f"commit `{run.manifest.get('git_commit')}`",
    }
    table = "\n".join(f"| {key} | {value} |" for key, value in facts.items())
    return (
        f"| | |\n|---|---|\n{table}\n\n"
        "Hashes are SHA-256; `origin.json` has those of the weights. `pacos lineage` walks from "
        "here to the rows and their requests."
    )
