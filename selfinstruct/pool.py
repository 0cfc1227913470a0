"""The pool that tasks are drawn from and grow into: seeds, held-out seeds, accepted rows."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from pacos.errors import UserError
from pacos.run_dir import derived_seed
from pacos.schemas import Row, SeedTask, read_seed_tasks
from selfinstruct.config import SelfInstructConfig
from selfinstruct.novelty import NoveltyIndex


class Pool:
    """Seeds, of which some are shown in prompts, and the rows accepted so far."""

    def __init__(self, seeds: Sequence[SeedTask], config: SelfInstructConfig) -> None:
        """Divide the seeds.

        Raises:
            UserError: two seeds have one id, or too few are left to be shown.
        """
        _check_ids(seeds)
        held = heldout_ids(seeds, config.seeds.heldout, config.seed)
        self.heldout = [seed for seed in seeds if seed.id in held]
        self.seeds = [seed for seed in seeds if seed.id not in held]
        self.rows: list[Row] = []
        self.novelty = NoveltyIndex()
        # Held-out seeds too: a task close to one of them would give its answer away.
        for seed in seeds:
            self.novelty.add(seed.id, seed.instruction)
        self._seed = config.seed
        self._num_examples = config.method.num_seed_examples
        limit = config.method.max_example_words
        self._shown = [seed for seed in self.seeds if limit is None or _words(seed) <= limit]
        if len(self._shown) < self._num_examples:
            raise UserError(
                f"method.num_seed_examples = {self._num_examples}: only {len(self._shown)} of "
                f"{len(seeds)} seeds can be shown; lower it or seeds.heldout, or raise "
                "method.max_example_words"
            )

    @classmethod
    def read(cls, path: Path, config: SelfInstructConfig) -> Pool:
        """The pool of a seed file, before anything is generated."""
        return cls(read_seed_tasks(path), config)

    def examples(self, request: int) -> list[SeedTask]:
        """The seeds shown in a request, the same in every life of the run."""
        draw = random.Random(derived_seed(self._seed, "selfinstruct", "examples", request))
        return draw.sample(self._shown, self._num_examples)

    def accept(self, row: Row) -> None:
        """Take a generated row; later ones are compared with it."""
        self.rows.append(row)
        self.novelty.add(row.id, row.instruction)


def heldout_ids(seeds: Sequence[SeedTask], count: int, seed: int) -> set[str]:
    """Choose seeds to hold out, of each kind its share.

    Within a kind (classification or not, with input or without) a seed's rank depends on its own id
    alone: editing, adding or removing others hardly moves the choice.

    Raises:
        UserError: there are not so many seeds.
    """
    if count >= len(seeds):
        raise UserError(f"seeds.heldout = {count}: there are {len(seeds)} seeds; hold out fewer")
    kinds: defaultdict[tuple[bool, bool], list[SeedTask]] = defaultdict(list)
    for task in seeds:
        kinds[task.is_classification, bool(task.input)].append(task)
    exact = {kind: count * len(tasks) / len(seeds) for kind, tasks in kinds.items()}
    shares = {kind: int(share) for kind, share in exact.items()}
    by_rest = sorted(exact, key=lambda kind: (shares[kind] - exact[kind], kind))
    for kind in by_rest[: count - sum(shares.values())]:
        shares[kind] += 1
    chosen: set[str] = set()
    for kind, tasks in kinds.items():
        ranked = sorted(task.id for task in tasks)
        ranked.sort(key=lambda name: derived_seed(seed, "selfinstruct", "heldout", name))
        chosen.update(ranked[: shares[kind]])
    return chosen


def _check_ids(seeds: Sequence[SeedTask]) -> None:
    seen: set[str] = set()
    for task in seeds:
        if task.id in seen:
            raise UserError(f"seeds.path: the id {task.id} is there twice; give each seed its own")
        seen.add(task.id)


def _words(task: SeedTask) -> int:
    return len(f"{task.instruction} {task.input} {task.output}".split())
