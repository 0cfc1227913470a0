"""The program of data generation: seed → request → reply → candidate → verdict → row.

python -m selfinstruct.run --config RUN/config.yaml
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial

from pacos.configs.shared import flatten
from pacos.console import progress, set_up_logging
from pacos.distributed import World
from pacos.errors import EXIT_CRASH, EXIT_DONE, EXIT_SAVED, ConfigError, UserError, exit_with
from pacos.files import write_json
from pacos.llm.budget import BudgetReached
from pacos.llm.ledger import Spent
from pacos.llm.service import open_service
from pacos.run.manifest import add_inputs
from pacos.run.program import live, load_program
from pacos.run.stop import Stopped, StopRequest
from pacos.run_paths import DataPaths, RunPaths
from pacos.tracking import metrics
from pacos.tracking.history import last_record
from pacos.tracking.open import open_tracker
from pacos.tracking.protocol import Tracker
from selfinstruct.config import SCHEMAS, SelfInstructConfig
from selfinstruct.dataset.export import export, read_seeds, seed_terms
from selfinstruct.generate import Bootstrap
from selfinstruct.generators.open import open_teacher
from selfinstruct.generators.own_server import serving
from selfinstruct.methods import Method, build_method
from selfinstruct.pool.pool import Pool
from selfinstruct.progress import Progress
from selfinstruct.quote import extrapolate, guess
from selfinstruct.screening.llm_judge import Opinion
from selfinstruct.screening.screen import Judge

log = logging.getLogger("selfinstruct.run")


def main(arguments: Sequence[str]) -> int:
    """Generate one data set from a command line; returns the exit code."""
    set_up_logging(is_main=True)
    # torch's threads wait for each other in a busy loop, which on a machine that does anything else
    # costs ten times the time. OpenMP reads this when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    world = World.from_env()
    try:
        config, run = _load(arguments, world)
    except UserError as error:
        return exit_with(error)
    return live(run, world, partial(work, config, run))


def _load(arguments: Sequence[str], world: World) -> tuple[SelfInstructConfig, RunPaths]:
    if world.size > 1:
        raise UserError(
            f"selfinstruct runs in one process, not in {world.size}: use pacos selfinstruct"
        )
    config, run = load_program(arguments, SelfInstructConfig, SCHEMAS, world)
    missing = config.missing_files()
    if missing:
        raise ConfigError(missing)
    return config, run


def work(config: SelfInstructConfig, run: RunPaths) -> str | None:
    """Build, build, build, generate, export; returns why the run is not at its end, if it is not.

    A pilot, and a run whose budget is spent, export what they have: perhaps nothing follows.
    """
    pool = Pool(read_seeds(config), config)
    method = build_method(config)
    files = {f"seeds_{lang}": path for lang, path in config.seed_files().items()}
    terms = {"seeds": seed_terms(config), "teacher": config.generator.terms}
    add_inputs(run, files, lineage=terms)
    tracker = open_tracker(config.tracking, run, flatten(config), is_main=True)
    stop = StopRequest(run.stop)
    try:
        bootstrap, unfinished = asyncio.run(generate(config, run, pool, method, stop, tracker))
    except Stopped as stopped:
        tracker.close(EXIT_SAVED)
        return str(stopped)
    except BaseException:
        tracker.close(EXIT_CRASH)
        raise
    tracker.close(EXIT_DONE if unfinished is None else EXIT_SAVED)
    export(run.data, config, pool, bootstrap)
    _conclude(run, bootstrap)
    return unfinished


async def generate(
    config: SelfInstructConfig,
    run: RunPaths,
    pool: Pool,
    method: Method,
    stop: StopRequest,
    tracker: Tracker,
) -> tuple[Bootstrap, str | None]:
    """Grow the rows that this life is to make; says what they will cost, or have cost.

    Returns:
        The rows and all about them, and why there are to be more, if there are.
    """
    logged = (last_record(run.metrics) or {metrics.STEP: 0})[metrics.STEP]
    endpoint = config.generator.endpoint
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        said = run.server_log
        await stack.enter_async_context(serving(config.generator, said, stop))
        service = await stack.enter_async_context(open_teacher(config.generator, run.data))
        is_new = service.spent == Spent()
        if is_new and endpoint is not None:
            log.info(f"quote: {guess(config, pool, method, endpoint.price())}")
        opinion = None
        if config.judge.endpoint is not None:
            opened = open_service(config.judge.endpoint, DataPaths(run.data).judge)
            judge = await stack.enter_async_context(opened)
            opinion = Opinion(config.judge.endpoint, judge, config.filters)
        bootstrap = Bootstrap(config, pool, method, Judge(config, pool), service, opinion)
        with progress("generating", config.rows_wanted(), "rows") as bar:
            try:
                await bootstrap.fill(stop, Progress(bar, tracker, logged, service).update)
            except BudgetReached as reached:
                return bootstrap, str(reached)
        seconds = time.monotonic() - began if is_new else None
        rows, requests = len(bootstrap.rows), bootstrap.requests
        if config.pilot is not None:
            whole = extrapolate(config, rows, requests, service.spent, seconds)
            log.info(f"pilot: {rows} rows from {requests} requests; the whole run: {whole}")
            if rows < config.target_rows:
                look = f"look at {DataPaths(run.data).rows}, and leave pilot out"
                return bootstrap, f"pilot of {rows} rows: {look}"
    if rows < config.target_rows:
        log.warning(f"max_requests reached with {rows} of target_rows={config.target_rows}")
    return bootstrap, None


def _conclude(run: RunPaths, bootstrap: Bootstrap) -> None:
    """Write the result and say what came out."""
    rows = len(bootstrap.rows)
    candidates = rows + len(bootstrap.rejections)
    rate = rows / candidates if candidates else 0.0
    result = {"rows": rows, "requests": bootstrap.requests, "acceptance_rate": rate}
    write_json(run.result, result)
    log.info(f"{rows} rows of {candidates} candidates from {bootstrap.requests} requests")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
