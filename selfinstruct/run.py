"""The program of data generation: seed → request → reply → candidate → verdict → row.

python -m selfinstruct.run --config RUN/config.yaml
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

from pacos import metrics
from pacos.config import flatten
from pacos.console import set_up_logging
from pacos.distributed import World
from pacos.errors import EXIT_DONE, EXIT_SAVED, EXIT_USER_ERROR, ConfigError, UserError, exit_with
from pacos.files import write_json
from pacos.history import last_record
from pacos.program import load_program
from pacos.run_dir import RunDir, State
from pacos.stop import StopRequest
from pacos.tracking import open_tracker
from selfinstruct.config import SCHEMAS, SelfInstructConfig
from selfinstruct.export import export, seed_terms
from selfinstruct.generate import Bootstrap
from selfinstruct.generators import Generator, LocalGenerator
from selfinstruct.ledger import Ledger
from selfinstruct.pool import Pool

log = logging.getLogger("selfinstruct.run")

EXIT_CRASH = 1


def main(arguments: Sequence[str]) -> int:
    """Generate one data set from a command line; returns the exit code."""
    set_up_logging(is_main=True)
    # torch's threads wait for each other in a busy loop, which on a machine that does anything else
    # costs ten times the time. OpenMP reads this when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        config, run = _load(arguments)
        return live(config, run, LocalGenerator(config.generator))
    except UserError as error:
        return exit_with(error)


def _load(arguments: Sequence[str]) -> tuple[SelfInstructConfig, RunDir]:
    world = World.from_env()
    if world.size > 1:
        raise UserError(
            f"selfinstruct runs in one process, not in {world.size}: use pacos selfinstruct"
        )
    config, run = load_program(arguments, SelfInstructConfig, SCHEMAS, world)
    missing = config.missing_files()
    if missing:
        raise ConfigError(missing)
    return config, run


def live(config: SelfInstructConfig, run: RunDir, generator: Generator) -> int:
    """One life of the run with any teacher; returns the exit code.

    Raises:
        UserError: another process has the run, or the seeds cannot be used.
    """
    run.begin_life()
    try:
        stopped_by = work(config, run, generator)
    except UserError as error:
        run.end_life(State.failed, str(error), EXIT_USER_ERROR)
        raise
    except Exception as error:
        run.end_life(State.failed, repr(error), EXIT_CRASH)
        raise
    if stopped_by is not None:
        run.end_life(State.saved, stopped_by, EXIT_SAVED)
        log.info(f"{stopped_by}: stopped; the same command goes on from the replies so far")
        return EXIT_SAVED
    run.end_life(State.done, "data set written", EXIT_DONE)
    return EXIT_DONE


def work(config: SelfInstructConfig, run: RunDir, generator: Generator) -> str | None:
    """Build, build, build, generate, export; returns why it stopped before that, if it did."""
    stop = StopRequest(run.stop)
    seeds = config.seeds.file()
    lineage = {"seeds": seed_terms(config), "teacher": config.generator.terms}
    run.add_inputs({"seeds": seeds}, lineage=lineage)
    pool = Pool.read(seeds, config)
    ledger = Ledger(run.data / "ledger.jsonl")
    bootstrap = Bootstrap(config, pool, generator, ledger)
    logged = (last_record(run.metrics) or {metrics.STEP: 0})[metrics.STEP]
    tracker = open_tracker(config.tracking, run.path, run.metrics, flatten(config), is_main=True)
    try:
        stopped_by = bootstrap.fill(tracker, stop, logged)
    except BaseException:
        tracker.close(EXIT_CRASH)
        raise
    tracker.close(EXIT_DONE if stopped_by is None else EXIT_SAVED)
    if stopped_by is not None:
        return stopped_by
    export(run.data, config, pool, bootstrap.rejections, bootstrap.requests)
    _conclude(run, len(pool.rows), bootstrap, config.target_rows)
    return None


def _conclude(run: RunDir, rows: int, bootstrap: Bootstrap, wanted: int) -> None:
    """Write the result and say what came out."""
    candidates = rows + len(bootstrap.rejections)
    rate = rows / candidates if candidates else 0.0
    result = {"rows": rows, "requests": bootstrap.requests, "acceptance_rate": rate}
    write_json(run.result, result)
    log.info(f"{rows} rows of {candidates} candidates from {bootstrap.requests} requests")
    if rows < wanted:
        log.warning(f"max_requests reached with {rows} of target_rows={wanted}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
