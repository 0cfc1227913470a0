"""One optimizer step: what goes into it, and what every rank knows of it afterwards."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from pacos.model.shape import LlamaShape
from pacos.tracking import metrics


@dataclass(frozen=True, slots=True)
class Step:
    """One optimizer step over all ranks."""

    number: int
    """From 1."""
    epoch: float
    """Passes over the data at its end."""
    passes: Sequence[Sequence[Sequence[int]]]
    """Rows of each forward pass of each rank, or group of ranks that share each row; an empty pass
    has none."""
    rows: int
    tokens: int
    squared_lengths: int
    supervised: int
    """Tokens that carry loss."""

    @property
    def row_ids(self) -> int:
        """Checksum of which rows they are, however they are divided."""
        rows = [row for share in self.passes for rows in share for row in rows]
        return zlib.crc32(np.sort(np.array(rows, dtype="<i8")).tobytes())


@dataclass(frozen=True, slots=True)
class RankShare:
    """What one rank measured in a step."""

    nll: Sequence[float]
    """Summed over the tokens of each pass, in nats."""
    data_seconds: float
    """Time for which the model waited for its batches."""
    peak_bytes: float
    probe_seconds: float
    """What `sft.monitor.probe` took; 0 in a step without it."""
    seconds: float
    """From the beginning of the step to here, where ranks wait for each other."""
    stop: float
    """1 if this rank was asked to stop, else 0."""
    save_failed: float
    """1 if this rank could not write its part of a checkpoint, else 0."""


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What a step came to; the same on every rank."""

    step: Step
    rate: float
    """Learning rate."""
    grad_norm: float | None
    """Global, before clipping; infinite where the gradient is not finite, None where DeepSpeed does
    not say it (ZeRO-0 in fp32)."""
    updated: bool
    """Whether the weights were changed: not where loss or gradient is not finite."""
    seconds: float
    ranks: Sequence[RankShare]

    @property
    def loss(self) -> float:
        """Nats a supervised token of the step."""
        return sum(sum(rank.nll) for rank in self.ranks) / self.step.supervised

    @property
    def watched(self) -> dict[str, float]:
        """What tells whether the step went well, by its metric; the norm only where it is known."""
        norm = {} if self.grad_norm is None else {metrics.GRAD_NORM: self.grad_norm}
        return {metrics.LOSS: self.loss, **norm}

    @property
    def is_finite(self) -> bool:
        return all(isfinite(value) for value in self.watched.values())

    @property
    def stop(self) -> bool:
        """Whether any rank was asked to stop."""
        return any(rank.stop for rank in self.ranks)

    @property
    def save_failed(self) -> bool:
        """Whether any rank could not write its part of a checkpoint."""
        return any(rank.save_failed for rank in self.ranks)

    def passes(self) -> Iterator[tuple[int, Sequence[int], float]]:
        """The first rank, the rows and the summed NLL of each pass."""
        together = len(self.ranks) // len(self.step.passes)
        for group, passes in enumerate(self.step.passes):
            first = group * together
            shares = [rank.nll for rank in self.ranks[first : first + together]]
            for rows, *nll in zip(passes, *shares, strict=True):
                yield first, rows, sum(nll)

    def metrics(self, shape: LlamaShape, peak_flops: float | None) -> dict[str, float]:
        """The line of metrics.jsonl.

        Args:
            shape: of the model, for its FLOPs.
            peak_flops: of one rank's device, in FLOP/s; None where it is not known.
        """
        step, seconds = self.step, self.seconds
        flops = shape.training_flops(step.tokens, step.squared_lengths)
        per_rank = flops / seconds / len(self.ranks)
        utilisation = {} if peak_flops is None else {metrics.MFU: per_rank / peak_flops}
        return {
            metrics.STEP: step.number,
            metrics.EPOCH: step.epoch,
            **self.watched,
            metrics.LEARNING_RATE: self.rate,
            metrics.ROWS: step.rows,
            metrics.ROW_IDS: step.row_ids,
            metrics.TOKENS: step.tokens,
            metrics.SUPERVISED_TOKENS: step.supervised,
            metrics.STEP_SECONDS: seconds,
            metrics.TOKENS_PER_SECOND: step.tokens / seconds,
            metrics.SUPERVISED_TOKENS_PER_SECOND: step.supervised / seconds,
            metrics.TFLOPS: per_rank / 1e12,
            **utilisation,
            metrics.PEAK_MEMORY: max(rank.peak_bytes for rank in self.ranks) / 2**30,
            metrics.DATA_WAIT: max(rank.data_seconds for rank in self.ranks) / seconds,
        }
