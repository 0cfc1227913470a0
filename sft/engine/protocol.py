"""The structural type of a training engine: the members of DeepSpeed's engine that pacos uses."""

from __future__ import annotations

from typing import Any, Protocol

import torch

from pacos.model.protocols import CausalLM


class Engine(Protocol):
    """A `deepspeed.DeepSpeedEngine`. Only `sft.engine.private_state` uses more of it."""

    optimizer: Any
    """DeepSpeed's wrapper of the optimizer, of another class for each ZeRO stage and precision; all
    have torch's `param_groups`."""
    basic_optimizer: torch.optim.Optimizer
    """torch's optimizer inside."""

    @property
    def module(self) -> CausalLM: ...
    @property
    def device(self) -> torch.device: ...

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the model's `forward`."""
        ...

    def backward(self, loss: torch.Tensor, *, scale_wrt_gas: bool = True) -> Any: ...

    def step(self) -> Any:
        """End a pass; update the weights if it is the last pass of the step."""
        ...

    def was_step_applied(self) -> bool:
        """Return True if the last `step` changed the weights."""
        ...

    def get_global_grad_norm(self) -> Any:
        """Return the norm before clipping, as a float or a tensor; None if it is not known."""
        ...

    def train(self, mode: bool = True) -> Any: ...
    def eval(self) -> Any: ...
    def destroy(self) -> None:
        """Remove DeepSpeed's hooks and free its buffers."""
        ...
