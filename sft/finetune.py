"""Full fine-tuning, from rows on disk to an exported model. Read this file first.

rows → Mixture (token ids) → StepPlan (packs) → StepStream (steps) → Batch (one flat row)
→ loss (Σ NLL / supervised tokens of the step) → engine → StepRecord → records, checkpoints
"""

from __future__ import annotations

from pacos.distributed import World
from pacos.run.stop import StopRequest
from pacos.run_paths import RunPaths
from sft.checkpoints.protocol import Checkpoints
from sft.config import SFTConfig
from sft.data.languages import languages
from sft.data.mixture import load_data, load_heldout
from sft.data.split import split
from sft.data.terms import check_row_terms
from sft.data.tokenizer import build_tokenizer
from sft.engine.deepspeed import build_engine
from sft.export.model import export_run
from sft.export.writer import Origin
from sft.model.build import build_model
from sft.monitor.wall_time import WallTime
from sft.rank_context import RankContext
from sft.records import Records
from sft.steps.plan import StepPlan
from sft.steps.stream import StepStream
from sft.trainer import Trainer
from sft.validation.heldout import Validation
from sft.validation.inloop import InLoopEvaluation


def finetune(config: SFTConfig, run: RunPaths, world: World, request: StopRequest) -> None:
    """Build, build, build, fit, export. Every rank runs it.

    Raises:
        Stopped: the run was asked to stop before its end, and is saved.
    """
    wall = WallTime()
    rank = RankContext.start(run, world, request, config.health.hang_seconds)

    tokenizer = build_tokenizer(config.model)
    # Each rank by itself: one tokenizes, the others poll the disk, and none is in a collective.
    with rank.stop.agreed_after("tokens"):
        rows = load_data(config, tokenizer, world, request)
        own_held = load_heldout(config, tokenizer, world, request)
    check_row_terms(config, rows.terms, world)
    data, held = split(rows, own_held, config.validation.rows, config.seed)
    plan = StepPlan.of(data.lengths, config.data.max_length, config.batch, config.model.shape)
    steps = StepStream(config, data, plan, world)

    model = build_model(config, tokenizer, rank.device)
    engine = build_engine(model, config, steps.passes)
    digest = world.on_main(data.digest)
    checkpoints = Checkpoints(run, config, engine, digest, world)
    done = checkpoints.load_newest(steps.last)
    records = Records(config, run, world, wall)
    facts = {
        "tokens": digest,
        "languages": world.on_main(lambda: languages(data, tokenizer, config.seed)),
    }
    records.begin(data, held, steps, facts, done, rank.watchdog.hosts)
    stop = rank.stop.during("validation")
    validation = Validation(config, held, engine, tokenizer, records.samples, world, stop)
    evaluation = InLoopEvaluation(config, validation, engine, tokenizer, rank)

    trainer = Trainer(config, rank, engine, steps, checkpoints, evaluation, records)
    # From here on every pause is watched: a rank that hangs ends the job instead of blocking it.
    with records.kept(), rank.watchdog:
        trainer.fit(done)
        with wall.on("export"):
            origin = Origin.of_run(config, run, digest, steps.last)
            export_run(engine, tokenizer, config, run, checkpoints, origin, rank)
