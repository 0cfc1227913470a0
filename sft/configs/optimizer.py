"""Config of AdamW."""

from __future__ import annotations

from dataclasses import dataclass

from pacos.errors import Problem


@dataclass(kw_only=True, slots=True)
class OptimizerConfig:
    """AdamW and its clipping."""

    lr: float = 2e-5
    """Peak learning rate."""
    weight_decay: float = 0.0
    """Decoupled decay, on matrices only."""
    beta1: float = 0.9
    """Decay of the mean of gradients."""
    beta2: float = 0.999
    """Decay of the mean of squared gradients."""
    eps: float = 1e-8
    """Added to the root of the second moment."""
    max_grad_norm: float = 1.0
    """Global gradient norm above which gradients are scaled down; 0 turns clipping off."""

    def problems(self) -> list[Problem]:
        found = []
        if self.lr <= 0:
            found.append(Problem("optimizer.lr", self.lr, "must be above 0", "raise it"))
        for key in ("weight_decay", "max_grad_norm"):
            value = getattr(self, key)
            if value < 0:
                remedy = "use 0 to turn it off"
                found.append(Problem(f"optimizer.{key}", value, "must not be below 0", remedy))
        for key in ("beta1", "beta2"):
            value = getattr(self, key)
            if not 0 <= value < 1:
                what = "is a share of the old mean"
                found.append(Problem(f"optimizer.{key}", value, what, "choose one in [0, 1)"))
        if self.eps <= 0:
            remedy = "raise it: it keeps the step finite where gradients are 0"
            found.append(Problem("optimizer.eps", self.eps, "must be above 0", remedy))
        return found
