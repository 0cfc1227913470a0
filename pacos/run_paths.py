"""The files of a run directory: the only place that knows their names."""

from __future__ import annotations

from pathlib import Path

LATEST_CHECKPOINT = "latest"
"""File in `RunPaths.checkpoints` that names the newest complete checkpoint.

It serves people, scripts and the record of a life; a resume examines the checkpoints themselves.
"""

ORIGIN = "origin.json"
"""File of a model directory that says which checkpoint it was made from, with the hashes of its
weights."""

LEDGER = "ledger.jsonl"
"""File, in the folder of an LLM service, of all requests with their replies."""
GEVAL_ANSWERS = "answers.jsonl"
"""File, in the folder of a suite and model, of the answers to the prompts of rubrics."""


class RunPaths:
    """Paths of a run's files. They need not exist, and nothing is created."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        """The config of the first life, fully resolved."""
        self.manifest = path / "manifest.json"
        """Code, packages, hardware and inputs of the run; written first, so a folder with one is a
        run."""
        self.metrics = path / "metrics.jsonl"
        """One line per step, over all lives."""
        self.attempts = path / "attempts.jsonl"
        """One line per life that has ended."""
        self.status = path / "status.json"
        """The record of the newest life."""
        self.lock = path / ".lock"
        """Locked by the process that works on the run."""
        self.result = path / "result.json"
        """The scalar that a sweep optimises."""
        self.stop = path / "STOP"
        """A stop request: creating this file asks the run to save and end."""
        self.report = path / "report.html"

        self.job_script = path / "job.sbatch"
        self.job_id = path / "job.id"
        """Slurm's id of the newest job of the run."""
        self.pipeline_log = path / "pipeline.log"
        """Output of the coordinator, the background process of a pipeline."""
        self.server_log = path / "server.log"
        """Output of the servers that the run starts for a generator or for evaluated models."""

        self.data = path / "data"
        """selfinstruct: the data set, the rejected candidates and the ledgers (see `DataPaths`)."""
        self.checkpoints = path / "checkpoints"
        """sft: one folder per checkpoint."""
        self.model = path / "model"
        """sft: the exported model."""
        self.health = path / "health.jsonl"
        """sft: unusual steps, with their rows."""
        self.rows = path / "rows.npz"
        """sft: the record, content and steps of every row trained on (`TrainedRows`)."""
        self.samples = path / "samples.jsonl"
        """sft: answers to held-out rows during training."""
        self.stacks = path / "stacks"
        """sft: stack traces of hanging ranks, one folder per life."""
        self.eval = path / "eval"
        """eval: scores, comparison and certificates (see `EvalPaths`)."""

    def stage(self, name: str) -> RunPaths:
        """Return the run of one stage of this pipeline."""
        return RunPaths(self.path / name)

    def later_config(self, life: int) -> Path:
        """Return the config of a life that differs in free fields from the first life's."""
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
        """Return the list of rows that sft did not train on: `dropped` or `quarantined`."""
        return self.path / f"{kind}_rows.jsonl"

    def newest_checkpoint(self) -> str | None:
        """Return the name of the newest complete checkpoint, or None if there is none."""
        latest = self.checkpoints / LATEST_CHECKPOINT
        return latest.read_text().strip() if latest.is_file() else None


class DataPaths:
    """The files in the `data` folder of a selfinstruct run."""

    def __init__(self, folder: Path) -> None:
        self.rows = folder / "data.jsonl"
        """The data set. It is written last, so the other files exist if it does."""
        self.conversations = folder / "data_messages.jsonl"
        """The same rows as lists of messages."""
        self.parquet = folder / "train.parquet"
        """The same rows for `datasets.load_dataset`."""
        self.heldout = folder / "heldout.jsonl"
        """Seed tasks kept out of generation for evaluation."""
        self.heldout_parquet = folder / "heldout.parquet"
        self.rejected = folder / "rejected.jsonl"
        """Rejected candidates with their reasons."""
        self.measures = folder / "measures.json"
        """Counts and statistics of the data set."""
        self.requirements = folder / "requirements.json"
        """Requirements on demonstration data, met or not."""
        self.card = folder / "README.md"
        self.ledger = folder / LEDGER
        """Every request to the generator, with its reply."""
        self.judge = folder / "judge"
        """Folder of the judge's own ledger."""
        self.judge_ledger = self.judge / LEDGER
        self.ratings = folder / "review.jsonl"
        """People's ratings of single rows (`pacos review`)."""
        self.review = folder / "review.json"
        """Summary of the ratings."""


class EvalPaths:
    """The files in the `eval` folder of an eval run."""

    def __init__(self, folder: Path) -> None:
        self.comparison = folder / "comparison.json"
        self.comparison_text = folder / "comparison.txt"
        """The same as a table."""
        self.standard_errors = folder / "standard_errors.json"
        self.contamination = folder / "contamination.json"


class JudgePaths:
    """The files of one judge, in the folder of a suite."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scores = folder / "scores.jsonl"
        """Scores of single answers."""
        self.pairs = folder / "pairs.jsonl"
        """Comparisons of two answers."""
        self.rated = folder / "rated.jsonl"
        """Scores of human-rated texts."""
        self.certificate = folder / "certificate.json"
        """Evidence of how far the judge can be trusted."""
        self.people = folder / "people.json"
        """Agreement of this judge with people's ratings (`pacos review`)."""
        self.ratings = folder.parent / "review.jsonl"
        """People's ratings, which count for all judges of the suite."""

    @classmethod
    def last_of(cls, suite: Path) -> JudgePaths | None:
        """Return the judge that scored a suite's answers last, or None if none did."""
        certificates = suite.glob("judge-*/certificate.json")
        last = max(certificates, key=lambda file: file.stat().st_mtime, default=None)
        return None if last is None else cls(last.parent)
