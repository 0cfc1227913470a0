"""The task pool: seeds, held-out seeds, and the generated tasks accepted so far."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pacos.errors import UserError
from pacos.schemas import SeedTask
from pacos.seeds import derived_seed
from selfinstruct.config import SelfInstructConfig
from selfinstruct.pool.novelty import FLOOR, NoveltyIndex


@dataclass(frozen=True, slots=True)
class PoolTask:
    """A task that prompts may show: a seed, or an accepted candidate."""

    id: str
    instruction: str
    input: str
    output: str
    """Empty for an instruction that has no instances yet."""


@dataclass(frozen=True, slots=True)
class Examples:
    """The tasks that one request shows."""

    tasks: tuple[PoolTask, ...]
    """In the order of the prompt."""
    seeds: tuple[str, ...]
    """Ids of the seeds among them."""
    parents: tuple[str, ...] = ()
    """Ids of the generated tasks among them."""


class Pool:
    """Seeds, split into shown and held-out ones, and the tasks accepted so far."""

    def __init__(self, seeds: Mapping[str, Sequence[SeedTask]], config: SelfInstructConfig) -> None:
        """Split the seeds.

        Args:
            seeds: the seed tasks by language.
            config: sets how many seeds are held out, and how many a request shows.

        Raises:
            UserError: two seeds share an id, or too few are left to fill a request.
        """
        everything = [seed for tasks in seeds.values() for seed in tasks]
        _check_ids(everything)
        held = heldout_ids(everything, config.seeds.heldout, config.seed)
        self.heldout = [seed for seed in everything if seed.id in held]
        self.seeds = [seed for seed in everything if seed.id not in held]
        floor = min(FLOOR, config.filters.max_similarity)
        self.novelty = NoveltyIndex(floor, config.filters.words)
        # Held-out seeds too: training on a near copy of one would spoil the measurement on it.
        for seed in everything:
            self.novelty.add(seed.id, seed.instruction)
        self._generated: defaultdict[str, list[PoolTask]] = defaultdict(list)
        self._seed = config.seed
        self._method = config.method
        limit = config.method.max_example_words
        self._shown = {
            lang: [
                PoolTask(seed.id, seed.instruction, seed.input, seed.output)
                for seed in tasks
                if seed.id not in held and (limit is None or _words(seed) <= limit)
            ]
            for lang, tasks in seeds.items()
        }
        needed = self._method.num_seed_examples + self._method.num_pool_examples
        for lang, shown in self._shown.items():
            if len(shown) < needed:
                raise UserError(
                    f"method.num_seed_examples = {self._method.num_seed_examples}: only "
                    f"{len(shown)} of {len(seeds[lang])} seeds ({lang}) can be shown; lower it or "
                    "seeds.heldout, or raise method.max_example_words"
                )

    def examples(self, request: int, lang: str) -> Examples:
        """Draw the tasks that a request shows: generated ones as configured, the rest seeds.

        Seeds take the place of generated tasks while there are too few. The draw depends on the
        number of the request and the state of the pool only, so that a resumed run repeats it.
        """
        draw = random.Random(derived_seed(self._seed, "selfinstruct", "examples", request))
        generated = self._generated[lang]
        parents = draw.sample(generated, min(self._method.num_pool_examples, len(generated)))
        wanted = self._method.num_seed_examples + self._method.num_pool_examples - len(parents)
        seeds = draw.sample(self._shown[lang], wanted)
        tasks = [*seeds, *parents]
        # Self-Instruct mixes them, so that the generated ones do not always come last.
        if parents:
            draw.shuffle(tasks)
        return Examples(
            tasks=tuple(tasks),
            seeds=tuple(seed.id for seed in seeds),
            parents=tuple(task.id for task in parents),
        )

    def accept(self, task: PoolTask, lang: str) -> None:
        """Add a generated task: later ones are compared with it, and prompts may show it."""
        self._generated[lang].append(task)
        self.novelty.add(task.id, task.instruction)


def heldout_ids(seeds: Sequence[SeedTask], count: int, seed: int) -> set[str]:
    """Choose the seeds to hold out, stratified by kind (classification or not, input or not).

    Within a kind a seed's rank depends on its own id only, so that editing, adding or removing
    other seeds hardly moves the choice.

    Raises:
        UserError: there are not enough seeds.
    """
    if count >= len(seeds):
        raise UserError(
            f"seeds.heldout = {count}: there are only {len(seeds)} seeds; hold out fewer"
        )
    kinds: defaultdict[tuple[bool, bool], list[SeedTask]] = defaultdict(list)
    for task in seeds:
        kinds[task.is_classification, bool(task.input)].append(task)
    # Largest remainders: each kind gets its whole share, and the largest fractions one more.
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
            raise UserError(f"seeds.path: two seeds have the id {task.id}; give each its own")
        seen.add(task.id)


def _words(task: SeedTask) -> int:
    return len(f"{task.instruction} {task.input} {task.output}".split())
