"""The chain of a run or a model: what it was made from, and what was made from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pacos.errors import UserError
from pacos.files import read_json
from pacos.lineage.library import DIGITS, Library, Model, Run, data_files, scores_of
from pacos.run_paths import DataPaths

INDENT = "  "
SHOWN_SCORES = 8
"""Scores shown of an evaluation; its result.json has all."""


def chain_of_run(run: Run, library: Library) -> Iterator[str]:
    """Yield the lines of a run's chain.

    Raises:
        UserError: a pipeline whose stages have not begun.
    """
    if run.stage == "pipeline":
        parts = (each for each in library.runs if each.paths.path.parent == run.paths.path)
        stages = {each.stage: each for each in parts}
        last = stages.get("sft") or stages.get("selfinstruct")
        if last is None:
            raise UserError(f"{run.paths.path}: none of its stages has begun; start it again")
        run = last
    yield _head(run)
    if run.stage == "eval":
        yield from _indented(_evaluated(run, library))
        return
    yield from _indented(_made_from(run, library))
    yield from _indented(_became(run, library))


def chain_of_model(model: Model, library: Library) -> Iterator[str]:
    """Yield the lines of a model's chain."""
    yield _model(model)
    yield from _indented(_maker(model, library))
    yield from _indented(_uses(model, library))


def _maker(model: Model, library: Library) -> Iterator[str]:
    maker = library.maker_of_model(model)
    if maker is None:
        name, identity = model.origin.get("run"), model.origin["identity"][:DIGITS]
        yield _line(
            "made by", f"run {name}, identity {identity}: not below {library.root} (--root)"
        )
        return
    yield _line("made by", f"{maker.paths.path}, step {model.step}")
    yield from _indented(_made_from(maker, library))


def _made_from(run: Run, library: Library) -> Iterator[str]:
    if run.stage == "selfinstruct":
        yield from _generated_from(run)
        return
    config = run.config().get("model", {})
    weights = run.inputs.get("weights")
    if weights is None:
        yield _line("weights", f"{config.get('path')}, {config.get('license')}")
    else:
        base = next((each for each in library.models if each.digest == weights["sha256"]), None)
        yield _line("weights", f"{Path(weights['path']).parent}  {short(weights['sha256'])}")
        if base is not None:
            yield from _indented(_maker(base, library))
    for name, file in data_files(run).items():
        yield _line(name, f"{file['path']}  {short(file['sha256'])}")
        maker = library.maker_of_data(file["sha256"], run.absolute(file["path"]))
        if maker is not None:
            yield from _indented([_head(maker), *_indented(_generated_from(maker))])
    tokens = run.manifest.get("tokens")
    rows = run.manifest.get("rows")
    yield _line("tokens", f"of {rows} rows  {short(tokens)}" if tokens else "not recorded")


def _generated_from(run: Run) -> Iterator[str]:
    generator = run.config().get("generator", {})
    yield _line("generator", f"{generator.get('name')}, {generator.get('terms')}")
    for name, file in run.inputs.items():
        yield _line(name.replace("_", " "), f"{file['path']}  {short(file['sha256'])}")
    ledger = DataPaths(run.paths.data).ledger
    if ledger.is_file():
        with ledger.open("rb") as lines:
            yield _line("requests", f"{sum(1 for _ in lines):,} with their replies in {ledger}")


def _became(run: Run, library: Library) -> Iterator[str]:
    if run.stage == "selfinstruct":
        for name, digest in run.manifest.get("outputs", {}).items():
            yield _line("rows", f"{run.paths.data / name}  {short(digest)}")
        for user in library.users_of_data(run):
            yield _head(user)
            yield from _indented(_became(user, library))
        return
    for file in sorted(run.paths.checkpoints.glob("step-*/manifest.json")):
        yield _line("checkpoint", f"{file.parent}  tokens {short(read_json(file)['data'])}")
    yield from models_from(run, library, 0)


def models_from(run: Run, library: Library, first: int) -> Iterator[str]:
    """Yield the models that a training run made of a step or a later one, with their uses."""
    for model in library.models_of(run):
        if model.step >= first:
            yield _model(model)
            yield from _indented(_uses(model, library))


def _uses(model: Model, library: Library) -> Iterator[str]:
    for run, label in library.evaluations_of(model):
        scores = list(scores_of(run, label))
        shown = ", ".join(f"{name} {value:.3f}" for name, value in scores[:SHOWN_SCORES])
        more = f" and {len(scores) - SHOWN_SCORES} more" if len(scores) > SHOWN_SCORES else ""
        yield _line("scores", f"{run.paths.path}: {shown or 'not finished'}{more}")
    for run in library.tuned_from(model):
        yield _head(run)
        yield from _indented(models_from(run, library, 0))


def _evaluated(run: Run, library: Library) -> Iterator[str]:
    for label in ("target", "baseline"):
        path = run.config().get(label)
        if path is None:
            continue
        model = library.evaluated(run, label)
        if model is None:
            yield _line(label, f"{path}: no model of pacos below {library.root} (--root)")
            continue
        yield _line(label, f"{model.folder}  {short(model.digest)}")
        yield from _indented(_maker(model, library))


def _head(run: Run) -> str:
    return _line(
        run.stage, f"{run.paths.path}  identity {run.manifest.get('identity', '')[:DIGITS]}"
    )


def _model(model: Model) -> str:
    dtype = model.origin.get("dtype")
    return _line("model", f"{model.folder}, step {model.step}, {dtype}  {short(model.digest)}")


def short(digest: str) -> str:
    """Return the first digits of a hash."""
    return f"sha256 {digest[:DIGITS]}"


def _line(kind: str, text: str) -> str:
    return f"{kind:<12} {text}"


def _indented(lines: Iterator[str] | list[str]) -> Iterator[str]:
    return (f"{INDENT}{line}" for line in lines)
