"""What stood between generated code and this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eval.sandbox.program import IN_FORCE

REQUIRED = ("limits", "no_new_privs", "seccomp")
"""Layers without which no program runs; each works for any user on any Linux since 2012."""
FILES = ("mounts", "landlock")
"""One of them has to keep files away: namespaces are often forbidden, Landlock needs 5.13."""


@dataclass(frozen=True, slots=True)
class Isolation:
    """The layers, each with nothing where it was in force, else with the reason why not."""

    layers: Mapping[str, str]

    @property
    def holds(self) -> bool:
        """Whether generated code may run behind these."""
        return not self.missing()

    def missing(self) -> list[str]:
        """What is lacking of the layers that there must be, with the reasons."""
        lacking = [name for name in REQUIRED if not self._is_in_force(name)]
        if not any(self._is_in_force(name) for name in FILES):
            lacking += FILES
        return [f"{name}: {self.layers.get(name, 'not tried')}" for name in lacking]

    def to_json(self) -> dict[str, Any]:
        """For results: `sandbox` or `none`, and each layer by name."""
        layers = {name: reason or True for name, reason in self.layers.items()}
        return {"isolation": "sandbox" if self.holds else "none", "layers": layers}

    def _is_in_force(self, name: str) -> bool:
        return self.layers.get(name) == IN_FORCE
