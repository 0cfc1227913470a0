"""Config of AdamW."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pacos.errors import Problem


@dataclass(kw_only=True, slots=True)
class OptimizerConfig:
    """AdamW, and the clipping of its gradients."""

    NAME: ClassVar[str] = "AdamW"
    STATES: ClassVar[tuple[str, ...]] = ("exp_avg", "exp_avg_sq")
    """Tensors that the optimizer keeps for each parameter, of its size, under torch's names: here
    the running means of gradients and of their squares. Memory and disk estimates and the content
    of checkpoints follow from them."""

    lr: float = 2e-5
    """Peak learning rate. Larger models usually need a lower one: Alpaca takes 2e-5 for 7B."""
    weight_decay: float = 0.0
    """Decoupled weight decay, applied to matrices only (not to norms)."""
    beta1: float = 0.9
    """Decay rate of the mean gradient, the first moment."""
    beta2: float = 0.999
    """Decay rate of the mean squared gradient, the second moment."""
    eps: float = 1e-8
    """Added to the root of the second moment, so that the update stays finite for zero
    gradients."""
    max_grad_norm: float = 1.0
    """Global gradient norm above which gradients are scaled down to it; 0 turns clipping off."""

    def problems(self) -> list[Problem]:
        problems = []
        if self.lr <= 0:
            problems.append(Problem("optimizer.lr", self.lr, "must be above 0", "raise it"))
        for key in ("weight_decay", "max_grad_norm"):
            value = getattr(self, key)
            if value < 0:
                remedy = "use 0 to turn it off"
                problems.append(Problem(f"optimizer.{key}", value, "must not be below 0", remedy))
        for key in ("beta1", "beta2"):
            value = getattr(self, key)
            if not 0 <= value < 1:
                fault = "must be at least 0 and below 1"
                problems.append(Problem(f"optimizer.{key}", value, fault, "choose one in [0, 1)"))
        if self.eps <= 0:
            remedy = "raise it: it keeps the update finite for zero gradients"
            problems.append(Problem("optimizer.eps", self.eps, "must be above 0", remedy))
        return problems
