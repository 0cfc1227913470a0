"""The isolation layers that were in force around generated code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

IN_FORCE = ""
"""Report of a layer that is in force; any other text is the reason why it is not."""

REQUIRED = ("limits", "no_new_privs", "seccomp")
"""Layers without which no program runs. Each works for an unprivileged user on Linux 3.5 (2012) and
later, in containers too."""
FILE_LAYERS = ("mounts", "landlock")
"""Layers that keep files away, at least one of which is required: many clusters forbid the
namespaces that mounts need, and Landlock needs Linux 5.13."""


@dataclass(frozen=True, slots=True)
class IsolationReport:
    """The layers by name, each with `IN_FORCE` or the reason why it is not."""

    layers: Mapping[str, str]

    @property
    def is_sufficient(self) -> bool:
        """True if generated code may run behind these layers."""
        return not self.missing()

    def missing(self) -> list[str]:
        """Return the missing ones of the necessary layers, with their reasons."""
        missing = [name for name in REQUIRED if not self._is_in_force(name)]
        if not any(self._is_in_force(name) for name in FILE_LAYERS):
            missing += FILE_LAYERS
        return [f"{name}: {self.layers.get(name, 'not tried')}" for name in missing]

    def to_json(self) -> dict[str, Any]:
        """Return the facts for results: `sandbox` or `none`, and each layer by name."""
        layers = {name: reason or True for name, reason in self.layers.items()}
        return {"isolation": "sandbox" if self.is_sufficient else "none", "layers": layers}

    def _is_in_force(self, name: str) -> bool:
        return self.layers.get(name) == IN_FORCE
