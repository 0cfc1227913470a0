"""Human spot check of a judged evaluation: the program of `pacos review`.

python -m eval.review RUN [--port N]
"""

from __future__ import annotations

import sys
from pathlib import Path

from eval.config import EvalConfig
from eval.geval.answers import read_answers
from eval.geval.records import read_judge_results
from eval.geval.spot_check import SpotCheck
from eval.rubrics.rubric import RubricError, read_rubric
from pacos.configs.frozen import load_frozen
from pacos.errors import UserError
from pacos.files import read_json, write_json
from pacos.review.items import Ratings
from pacos.review.program import main, serve
from pacos.review.server import ReviewServer
from pacos.run_paths import JudgePaths, RunPaths


def review(run: RunPaths, port: int | None) -> None:
    """Serve the page, then write the findings into the folder of the latest judge.

    Raises:
        UserError: no judge has scored the run yet, or the port is taken.
    """
    config = load_frozen(run.config, EvalConfig)
    folder = last_judge(run, config)
    check = read_spot_check(folder, config)
    files = JudgePaths(folder)
    ratings = Ratings(files.ratings)
    title = f"{run.path.name}: {read_json(files.certificate)['judge']}"
    serve(ReviewServer(title, check.items(), ratings, port))
    findings = check.findings(ratings.all())
    write_json(files.people, findings)
    print(f"{findings['ratings']} ratings; the findings are in {files.people}")
    for figure in findings["corrected"]:
        people = figure["people"]
        print(
            f"  {figure['name']}: judge {figure['judge']:.3f}, people {people['value']:.3f} "
            f"({people['low']:.3f} to {people['high']:.3f})"
        )


def last_judge(run: RunPaths, config: EvalConfig) -> Path:
    """Return the folder of the judge that finished last.

    Raises:
        UserError: no judge has finished.
    """
    judge = JudgePaths.last_of(run.eval / config.suite.name)
    if judge is None:
        raise UserError(
            f"{run.path}: no judge has scored this run yet; run its command again with a judge, "
            "such as judge=openai"
        )
    return judge.folder


def read_spot_check(folder: Path, config: EvalConfig) -> SpotCheck:
    """Read a judge's scores and rubrics from its folder, and the answers from beside it.

    Raises:
        UserError: a rubric is missing or broken.
    """
    try:
        rubrics = {name: read_rubric(folder / f"{name}.yaml") for name in config.suite.rubrics}
    except RubricError as error:
        raise UserError(f"{folder}: its rubrics cannot be read: {error}") from error
    return SpotCheck(
        suite=config.suite.name,
        seed=config.seed,
        rubrics=rubrics,
        answers={label: read_answers(folder.with_name(label)) for label in config.models()},
        results=read_judge_results(folder),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], review))
