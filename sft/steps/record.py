"""One optimizer step: the rows that go into it, and what every rank knows about it afterwards."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
import torch

from pacos.model.shape import ModelShape
from pacos.tracking import metrics


@dataclass(frozen=True, slots=True)
class Step:
    """One optimizer step over all ranks."""

    number: int
    """Counts from 1."""
    epoch: float
    """Epochs completed at the end of the step."""
    passes: Sequence[Sequence[Sequence[int]]]
    """The rows of each pass of each data rank; an empty pass has none. A data rank is a rank, or
    the group of ranks that share each row (`deepspeed.sequence_ranks`)."""
    rows: int
    tokens: int
    squared_lengths: int
    """Σ length² over the rows, for the FLOPs of attention."""
    supervised: int
    """Supervised tokens."""

    @property
    def row_ids(self) -> int:
        """CRC-32 of the row numbers, the same however ranks and passes divide them.

        Two runs that log the same value trained on the same rows at this step.
        """
        rows = [row for share in self.passes for rows in share for row in rows]
        # A fixed byte order, so that the checksum is the same on every machine.
        return zlib.crc32(np.sort(np.array(rows, dtype="<i8")).tobytes())


@dataclass(frozen=True, slots=True, kw_only=True)
class RankShare:
    """What one rank measured in a step."""

    nll: torch.Tensor
    """[passes]: Σ NLL of each pass, in nats; on the rank's device until ranks exchange it."""
    data_seconds: float
    """Seconds for which the model waited for its batches."""
    peak_bytes: float
    """Peak memory: on a GPU what torch allocated in this step, on a CPU the resident memory of the
    process so far."""
    probe_seconds: float
    """Seconds of `sft.monitor.probe`; 0 in a step without a probe."""
    seconds: float
    """Seconds from the beginning of the step to the point where ranks wait for each other."""
    stop_requested: bool
    """True if this rank was asked to stop."""
    save_failed: bool
    """True if this rank could not write its part of a checkpoint."""

    def pack(self) -> torch.Tensor:
        """Return everything as one fp64 tensor on the device of `nll`, without waiting for it.

        fp64 holds byte counts up to 2**53 and every fp32 NLL exactly.
        """
        scalars = (
            self.data_seconds,
            self.peak_bytes,
            self.probe_seconds,
            self.seconds,
            float(self.stop_requested),
            float(self.save_failed),
        )
        packed = torch.tensor(scalars, dtype=torch.float64)
        return torch.cat([self.nll.double(), packed.to(self.nll.device)])

    @classmethod
    def unpack(cls, packed: torch.Tensor) -> RankShare:
        """Undo `pack`, given a tensor in host memory."""
        *nll, data_seconds, peak_bytes, probe_seconds, seconds, stop, failed = packed.tolist()
        return cls(
            nll=torch.tensor(nll, dtype=torch.float64),
            data_seconds=data_seconds,
            peak_bytes=peak_bytes,
            probe_seconds=probe_seconds,
            seconds=seconds,
            stop_requested=bool(stop),
            save_failed=bool(failed),
        )


@dataclass(frozen=True, slots=True)
class StepRecord:
    """The result of a step, the same on every rank."""

    step: Step
    rate: float
    """Learning rate."""
    grad_norm: float | None
    """Global norm before clipping; infinite if the gradient is not finite, None if DeepSpeed does
    not report it (ZeRO-0 in fp32)."""
    updated: bool
    """True if the weights changed; False if loss or gradient was not finite."""
    seconds: float
    ranks: Sequence[RankShare]

    @property
    def loss(self) -> float:
        """Nats per supervised token of the step."""
        # Summed in rank order on every rank, so that all of them get the same last digit.
        return sum(sum(rank.nll.tolist()) for rank in self.ranks) / self.step.supervised

    @property
    def watched(self) -> dict[str, float]:
        """The values that show whether a step went well, by metric; the norm if it is known."""
        norm = {} if self.grad_norm is None else {metrics.GRAD_NORM: self.grad_norm}
        return {metrics.LOSS: self.loss, **norm}

    @property
    def is_finite(self) -> bool:
        return all(isfinite(value) for value in self.watched.values())

    @property
    def stop_requested(self) -> bool:
        """True if any rank was asked to stop."""
        return any(rank.stop_requested for rank in self.ranks)

    @property
    def save_failed(self) -> bool:
        """True if any rank could not write its part of a checkpoint."""
        return any(rank.save_failed for rank in self.ranks)

    def passes(self) -> Iterator[tuple[int, Sequence[int], float]]:
        """Yield the first rank, the rows and the Σ NLL of each pass."""
        ranks_per_share = len(self.ranks) // len(self.step.passes)
        for share, passes in enumerate(self.step.passes):
            first = share * ranks_per_share
            # Ranks that share rows each hold a part of every pass's sum.
            parts = [rank.nll.tolist() for rank in self.ranks[first : first + ranks_per_share]]
            for rows, *nll in zip(passes, *parts, strict=True):
                yield first, rows, sum(nll)

    def metrics(self, shape: ModelShape, peak_flops: float | None) -> dict[str, float]:
        """Return the step's line of metrics.jsonl.

        Args:
            shape: the model's sizes, for its FLOPs.
            peak_flops: FLOP/s of one rank's device; None if unknown, and then there is no MFU.
        """
        step, seconds = self.step, self.seconds
        flops = shape.training_flops(step.tokens, step.squared_lengths)
        flops_per_rank = flops / seconds / len(self.ranks)
        mfu = {} if peak_flops is None else {metrics.MFU: flops_per_rank / peak_flops}
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
            metrics.TFLOPS: flops_per_rank / 1e12,
            **mfu,
            metrics.PEAK_MEMORY: max(rank.peak_bytes for rank in self.ranks) / 2**30,
            metrics.DATA_WAIT: max(rank.data_seconds for rank in self.ranks) / seconds,
        }
