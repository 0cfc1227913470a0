"""The files of a run directory: the only place that knows their names."""

from __future__ import annotations

from pathlib import Path

LATEST_CHECKPOINT = "latest"
"""File in `RunPaths.checkpoints` that names the newest complete checkpoint.

For people, scripts and the record of a life; a resume examines the checkpoints themselves."""


class RunPaths:
    """Where each file of a run lies. Nothing has to exist; nothing is created."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        """The config of the first life, fully resolved."""
        self.manifest = path / "manifest.json"
        """What the run was made from; written first, so a folder with one is a run."""
        self.metrics = path / "metrics.jsonl"
        """One line a step, over all lives."""
        self.attempts = path / "attempts.jsonl"
        """One line for each life that has ended."""
        self.status = path / "status.json"
        """The record of the newest life."""
        self.lock = path / ".lock"
        """Locked by the process that works on the run."""
        self.result = path / "result.json"
        """The scalar that a sweep optimises."""
        self.stop = path / "STOP"
        """A stop request; whoever creates it asks the run to save and end."""
        self.report = path / "report.html"

        self.job_script = path / "job.sbatch"
        self.job_id = path / "job.id"
        """Slurm's id of the newest job of the run."""
        self.pipeline_log = path / "pipeline.log"
        """Output of the coordinator, the background process of a pipeline."""
        self.server_log = path / "server.log"
        """Output of the server that selfinstruct starts for the generator."""

        self.data = path / "data"
        """selfinstruct: the data set and all that it was chosen from."""
        self.checkpoints = path / "checkpoints"
        """sft: one folder for each checkpoint."""
        self.model = path / "model"
        """sft: the exported model."""
        self.health = path / "health.jsonl"
        """sft: unusual steps, with their rows."""
        self.samples = path / "samples.jsonl"
        """sft: answers to held-out rows during training."""
        self.stacks = path / "stacks"
        """sft: stack traces of ranks that hang, one folder a life."""
        self.eval = path / "eval"
        """eval: scores, comparison and certificates."""

    def stage(self, name: str) -> RunPaths:
        """Return the run of one stage of this pipeline."""
        return RunPaths(self.path / name)

    def later_config(self, life: int) -> Path:
        """Return the config of a life whose free fields differ from the first life's."""
        return self.path / f"config.{life}.yaml"

    def configs(self) -> dict[int, Path]:
        """Return the frozen configs by the first life that had them, in order."""
        if not self.config.is_file():
            return {}
        files = {1: self.config}
        for path in self.path.glob("config.*.yaml"):
            files[int(path.name.split(".")[1])] = path
        return dict(sorted(files.items()))

    def slurm_log(self, job: str) -> Path:
        """Return the log of a job.

        Args:
            job: the id, or Slurm's pattern for it: `%j`, and `%A_%a` for a task of an array.
        """
        return self.path / f"slurm-{job}.log"

    def excluded_rows(self, kind: str) -> Path:
        """Return the list of rows that sft left out, `kind` says why."""
        return self.path / f"{kind}_rows.jsonl"

    def newest_checkpoint(self) -> str | None:
        """Return the name of the newest complete checkpoint, or None if there is none."""
        latest = self.checkpoints / LATEST_CHECKPOINT
        return latest.read_text().strip() if latest.is_file() else None
