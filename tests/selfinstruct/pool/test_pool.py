from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable

import pytest

from pacos.errors import UserError
from pacos.schemas import SeedTask, read_seed_tasks
from selfinstruct.config import (
    SHIPPED_SEEDS,
    MethodConfig,
    SeedsConfig,
    SelfInstructConfig,
)
from selfinstruct.pool.pool import Pool, PoolTask, heldout_ids

Make = Callable[..., Pool]


@pytest.fixture(scope="module")
def seeds() -> list[SeedTask]:
    return read_seed_tasks(SHIPPED_SEEDS / "en.jsonl")


def config(heldout: int = 25, examples: int = 3, words: int | None = None) -> SelfInstructConfig:
    return SelfInstructConfig(
        seeds=SeedsConfig(heldout=heldout),
        method=MethodConfig(num_seed_examples=examples, max_example_words=words),
    )


def test_heldout_seeds_are_never_shown(seeds: list[SeedTask]) -> None:
    pool = Pool({"en": seeds}, config())
    assert len(pool.heldout) == 25
    assert len(pool.seeds) == 150
    held = {seed.id for seed in pool.heldout}
    shown = {seed.id for number in range(1000) for seed in pool.examples(number, "en").tasks}
    assert not held & shown
    assert shown == {seed.id for seed in pool.seeds}


def test_each_kind_gives_its_share(seeds: list[SeedTask]) -> None:
    def kinds(tasks: list[SeedTask]) -> Counter[tuple[bool, bool]]:
        return Counter((task.is_classification, bool(task.input)) for task in tasks)

    held = kinds(Pool({"en": seeds}, config()).heldout)
    for kind, number in kinds(seeds).items():
        assert abs(held[kind] - 25 * number / len(seeds)) < 1


def test_the_choice_is_stable_when_other_seeds_change(seeds: list[SeedTask]) -> None:
    before = heldout_ids(seeds, 25, 42)
    reordered = [dataclasses.replace(seed, output="other") for seed in reversed(seeds)]
    assert heldout_ids(reordered, 25, 42) == before
    fewer = [seed for seed in seeds if seed.id != sorted(before)[0]]
    assert len(heldout_ids(fewer, 25, 42) - before) <= 2
    assert heldout_ids(seeds, 25, 43) != before


def test_heldout_numbers_at_the_ends(seeds: list[SeedTask]) -> None:
    assert heldout_ids(seeds, 0, 42) == set()
    assert len(heldout_ids(seeds, 174, 42)) == 174
    with pytest.raises(UserError, match="175 seeds"):
        heldout_ids(seeds, 175, 42)


def test_examples_depend_on_the_request_alone(seeds: list[SeedTask]) -> None:
    pool, again = Pool({"en": seeds}, config()), Pool({"en": seeds}, config())
    first = pool.examples(5, "en")
    pool.accept(PoolTask("g", "Something new to think about", "", ""), "en")
    assert pool.examples(5, "en") == first == again.examples(5, "en")
    assert pool.examples(6, "en") != first


def test_generated_tasks_are_shown_as_far_as_there_are_any(seeds: list[SeedTask]) -> None:
    wanted = config(examples=6)
    wanted.method.num_pool_examples = 2
    pool = Pool({"en": seeds}, wanted)
    first = pool.examples(1, "en")
    assert (len(first.seeds), len(first.parents)) == (8, 0)
    for number in range(2):
        pool.accept(PoolTask(f"g{number}", f"Task of number {number}", "", ""), "en")
    later = pool.examples(1, "en")
    assert (len(later.seeds), sorted(later.parents)) == (6, ["g0", "g1"])
    assert {task.id for task in later.tasks} == {*later.seeds, *later.parents}


def test_only_short_seeds_are_shown(seeds: list[SeedTask]) -> None:
    pool = Pool({"en": seeds}, config(words=80))
    for number in range(50):
        for seed in pool.examples(number, "en").tasks:
            assert len(f"{seed.instruction} {seed.input} {seed.output}".split()) <= 80


def test_too_few_seeds_to_show(seeds: list[SeedTask]) -> None:
    with pytest.raises(UserError, match="num_seed_examples = 3: only 0 of 175"):
        Pool({"en": seeds}, config(words=1))


def test_an_id_that_is_there_twice(seeds: list[SeedTask]) -> None:
    with pytest.raises(UserError, match="two seeds have the id"):
        Pool({"en": [*seeds, seeds[0]]}, config())


def test_what_is_close_to_a_heldout_seed_is_found(seeds: list[SeedTask]) -> None:
    pool = Pool({"en": seeds}, config())
    nearest = pool.novelty.nearest(pool.heldout[0].instruction)
    assert nearest is not None
    assert nearest.id == pool.heldout[0].id
