"""How fast this rank computes by itself.

Ranks end a step together however slow one of them is, and under ZeRO-3 they wait for each other at
every layer, so that times of steps name nobody. The same few products, timed on every rank without
any communication, do.
"""

from __future__ import annotations

import time

import torch

EVERY_STEPS = 10
"""Steps from one probe to the next: it takes some milliseconds."""
PRODUCTS = 8
WIDTH = {"cuda": 4096, "cpu": 256}
"""Rows and columns of the matrices: 1.1 TFLOP on a GPU (2 ms on an H100), 0.3 GFLOP on a CPU."""


class Probe:
    """Products of one size, ready to be timed."""

    def __init__(self, device: torch.device) -> None:
        on_gpu = device.type == "cuda"
        self._device = device
        # On a CPU without units for bf16 the products of training run in fp32 too.
        dtype = torch.bfloat16 if on_gpu else torch.float32
        width = WIDTH["cuda" if on_gpu else "cpu"]
        # Drawn, not constant: a GPU needs less power, and so throttles less, for equal numbers.
        draw = torch.Generator().manual_seed(0)
        self._matrix = torch.randn(width, width, generator=draw).to(device, dtype)
        self._product = torch.empty_like(self._matrix)
        self._multiply()

    def seconds(self) -> float:
        """Time of the products, from an idle device to an idle device."""
        self._wait()
        started = time.perf_counter()
        self._multiply()
        self._wait()
        return time.perf_counter() - started

    def _multiply(self) -> None:
        for _ in range(PRODUCTS):
            torch.mm(self._matrix, self._matrix, out=self._product)

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
