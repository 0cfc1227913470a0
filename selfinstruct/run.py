"""The program of data generation: seed → request → reply → candidate → verdict → row.

python -m selfinstruct.run --config RUN/config.yaml
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from pacos.cards.compute import generation_lines
from pacos.configs.license import terms_record
from pacos.console import progress, set_up_logging
from pacos.data.digests import digest_of
from pacos.distributed import World
from pacos.errors import EXIT_CRASH, EXIT_DONE, EXIT_SAVED, ConfigError, UserError, exit_with
from pacos.files import write_json
from pacos.gpus import gpus_here
from pacos.identity import flatten
from pacos.llm.budget import BudgetReached
from pacos.llm.ledger import Ledger, Spent
from pacos.llm.prices import Price
from pacos.llm.service import Service, open_service
from pacos.run.lives import Lives
from pacos.run.manifest import add_inputs
from pacos.run.own_server import OwnServer
from pacos.run.program import live, load_program
from pacos.run.stop import Stopped, StopRequest
from pacos.run_paths import LEDGER, DataPaths, RunPaths
from pacos.text.counted import counted
from pacos.tracking import metrics
from pacos.tracking.history import last_record
from pacos.tracking.open import open_tracker
from pacos.tracking.protocol import Tracker
from selfinstruct.bootstrap import Bootstrap
from selfinstruct.config import SCHEMAS, SelfInstructConfig
from selfinstruct.configs.generator import GeneratorConfig
from selfinstruct.dataset.export import export
from selfinstruct.generators.local import LocalGenerator
from selfinstruct.methods.build import build_method
from selfinstruct.methods.method import Method
from selfinstruct.pool.pool import Pool
from selfinstruct.progress import Progress
from selfinstruct.quote import estimate, extrapolate
from selfinstruct.screening.llm_judge import LLMJudge
from selfinstruct.screening.screen import build_screen
from selfinstruct.seeds.reader import read_seeds

log = logging.getLogger("selfinstruct.run")


def main(arguments: Sequence[str]) -> int:
    """Generate one data set from a command line; return the exit code."""
    set_up_logging(is_main=True)
    # torch's OpenMP threads spin while they wait. Beside any other load that makes a reply take ten
    # times as long. OpenMP reads the variable when torch is imported, so set it before.
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
            f"selfinstruct runs in one process, not in {world.size}; start it with pacos "
            "selfinstruct, without accelerate"
        )
    config, run = load_program(arguments, SelfInstructConfig, SCHEMAS, world)
    missing = config.missing_files()
    if missing:
        raise ConfigError(missing)
    return config, run


def work(config: SelfInstructConfig, run: RunPaths) -> str | None:
    """Build the parts, generate, and export.

    A pilot, and a run whose budget is spent, export what they have: nobody may resume them.

    Returns:
        Why the run is unfinished; None if it is finished.
    """
    pool = Pool(read_seeds(config), config)
    method = build_method(config)
    files = {f"seeds_{lang}": path for lang, path in config.seed_files().items()}
    lineage = {"seeds": config.seeds.source_terms(), "teacher": config.generator.terms}
    terms = terms_record(config.stated_inputs(), config.license_policy, config.license_waiver)
    add_inputs(run, files, lineage=lineage, terms=terms)
    Lives(run).note(**hardware(config.generator))
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
    rows, rejections = bootstrap.rows, bootstrap.rejections
    compute = generation_lines(run)
    export(run.data, config, pool, rows, rejections, bootstrap.requests, compute)
    data = DataPaths(run.data)
    made = (data.rows, data.conversations, data.parquet)
    add_inputs(run, {}, outputs={file.name: digest_of(file) for file in made})
    _write_result(run, bootstrap)
    return unfinished


async def generate(
    config: SelfInstructConfig,
    run: RunPaths,
    pool: Pool,
    method: Method,
    stop: StopRequest,
    tracker: Tracker,
) -> tuple[Bootstrap, str | None]:
    """Generate the rows of this life, and log quotes.

    Returns:
        The bootstrap with its rows, and why the run is unfinished; None if it is finished.
    """
    steps_logged = (last_record(run.metrics) or {metrics.STEP: 0})[metrics.STEP]
    endpoint, command = config.generator.endpoint, config.generator.serve
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        if endpoint is not None and command is not None:
            # Entered first, so that it ends last: closing the service waits for replies in flight.
            server = OwnServer("generator.serve", command, endpoint.url)
            stack.enter_context(server.running(run.server_log, stop))
        service = await stack.enter_async_context(open_generator(config.generator, run.data))
        is_new = service.spent == Spent()
        if is_new and endpoint is not None:
            log.info(f"quote: {estimate(config, pool, method, endpoint.price())}")
        judge = None
        if config.judge.endpoint is not None:
            judging = open_service(config.judge.endpoint, DataPaths(run.data).judge)
            judge_service = await stack.enter_async_context(judging)
            judge = LLMJudge(config.judge.endpoint, judge_service, config.filters)
        screen = build_screen(config, pool.novelty)
        bootstrap = Bootstrap(config, pool, method, screen, service, judge)
        with progress("generating", config.rows_wanted(), "rows") as bar:
            report = Progress(bar, tracker, steps_logged, service).update
            try:
                await bootstrap.fill(stop, report)
            except BudgetReached as reached:
                return bootstrap, str(reached)
        # A resumed life replays the ledger: its time says nothing about the whole run.
        seconds = time.monotonic() - began if is_new else None
        rows, requests = len(bootstrap.rows), bootstrap.requests
        if config.pilot is not None:
            whole = extrapolate(config, rows, requests, service.spent, seconds)
            log.info(
                f"pilot: {counted(rows, 'row')} from {counted(requests, 'request')}; "
                f"the whole run: {whole}"
            )
            if rows < config.target_rows:
                remedy = f"read {DataPaths(run.data).rows}, then run again without pilot to go on"
                return bootstrap, f"pilot of {counted(rows, 'row')} is done; {remedy}"
    if rows < config.target_rows:
        log.warning(f"max_requests reached with {rows} of target_rows={config.target_rows}")
    return bootstrap, None


def hardware(config: GeneratorConfig) -> dict[str, object]:
    """Return what computes the replies, for the record of a life: `gpu` and `ranks`.

    A server that the run starts has all GPUs of the machine. `ranks` is 0 if a service answers.
    """
    if config.endpoint is not None and config.serve is None:
        return {"gpu": None, "ranks": 0}
    names = [name for name, _ in gpus_here()]
    return {"gpu": names[0] if names else None, "ranks": max(1, len(names) if config.serve else 1)}


@asynccontextmanager
async def open_generator(config: GeneratorConfig, folder: Path) -> AsyncIterator[Service]:
    """Open the service that answers the run's requests, with its ledger in `folder`.

    Raises:
        UserError: another process holds the ledger, or the environment lacks the API key.
    """
    if config.endpoint is not None:
        async with open_service(config.endpoint, folder) as service:
            yield service
        return
    async with Ledger(folder / LEDGER) as ledger:
        # A price of 0, not None, which would mean that the price is unknown.
        service = Service(LocalGenerator(config), ledger, price=Price(0.0, 0.0))
        try:
            yield service
        finally:
            await service.close()


def _write_result(run: RunPaths, bootstrap: Bootstrap) -> None:
    """Write result.json, and log a summary."""
    rows = len(bootstrap.rows)
    candidates = rows + len(bootstrap.rejections)
    rate = rows / candidates if candidates else 0.0
    result = {"rows": rows, "requests": bootstrap.requests, "acceptance_rate": rate}
    write_json(run.result, result)
    log.info(
        f"{counted(rows, 'row')} of {counted(candidates, 'candidate')} from "
        f"{counted(bootstrap.requests, 'request')}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
