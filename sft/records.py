"""What a training run writes down about itself: manifest, metrics, attempts, result, model card."""

from __future__ import annotations

import logging

from pacos import metrics
from pacos.config import flatten
from pacos.distributed import World
from pacos.errors import EXIT_CRASH, EXIT_DONE
from pacos.files import write_json, write_jsonl
from pacos.history import cut_after, last_record
from pacos.run_dir import RunDir
from pacos.tracking import NullTracker, Record, Tracker, open_tracker
from sft.config import SFTConfig
from sft.mixture import Mixture
from sft.step_plan import StepPlan

log = logging.getLogger(__name__)


class Records:
    """The records of one life. Every rank calls it; only rank 0 writes."""

    def __init__(self, config: SFTConfig, run: RunDir, world: World) -> None:
        self._config = config
        self._run = run
        self._is_main = world.is_main
        self._ranks = world.size
        self._tracker: Tracker = NullTracker()
        self._first_step = 1
        self._last: Record = {}

    def begin(self, data: Mixture, plan: StepPlan, steps_done: int) -> None:
        """Record the inputs, cut metrics of steps that will be made again, open the tracker."""
        self._first_step = steps_done + 1
        if not self._is_main:
            return
        log.info(plan.summary(data.lengths, self._config.seed, self._ranks))
        for name, rows in (("dropped", data.dropped), ("quarantined", data.quarantined)):
            if rows:
                listed = self._run.path / f"{name}_rows.jsonl"
                write_jsonl(listed, rows)
                log.warning(f"{len(rows)} rows {name}, whole or in part; see {listed}")
        lineage = {"weights": self._config.model.license, "data": data.terms}
        self._run.add_inputs(data.inputs, lineage=lineage)
        cut_after(self._run.metrics, steps_done)
        self._last = last_record(self._run.metrics) or {}
        self._tracker = open_tracker(
            self._config.tracking,
            self._run.path,
            self._run.metrics,
            flatten(self._config),
            is_main=self._is_main,
        )

    def log(self, record: Record) -> None:
        """Take the metrics of one step."""
        self._last = record
        self._tracker.log(record)

    def end(self) -> None:
        """Close the tracker after the last step of this life."""
        self._tracker.close(EXIT_DONE)
        self._run.note(first_step=self._first_step, last_step=self._last.get(metrics.STEP))

    def failed(self) -> None:
        """Close the tracker of a life that raises."""
        self._tracker.close(EXIT_CRASH)

    def conclude(self) -> None:
        """Write the scalar that a sweep optimises."""
        if self._is_main:
            result = {"loss": self._last.get(metrics.LOSS), "steps": self._last.get(metrics.STEP)}
            write_json(self._run.result, result)

    def model_card(self, data: Mixture, steps: int) -> str:
        """The README.md of the exported model: what it is, under which terms it came to be."""
        model, terms = self._config.model, "\n".join(f"- data: {line}" for line in data.terms)
        return f"""---
base_model: {model.path}
library_name: transformers
pipeline_tag: text-generation
---

# {self._run.path.name}

{model.name}, fully fine-tuned with pacos on {len(data)} rows for {steps} steps: prompt format
{model.prompt_format.name}, peak learning rate {self._config.optimizer.lr}, last loss
{self._last.get(metrics.LOSS):.4f} nats a token.

## Terms of what it was made from

- weights: {model.license}
{terms}
"""
