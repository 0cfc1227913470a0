import json
from dataclasses import replace
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module

from eval.harness.suites import build_suite, leaves
from pacos.configs.suite import SuiteConfig
from pacos.errors import UserError
from pacos.suites import SHIPPED_SUITES

SMOKE = SuiteConfig(
    name="smoke",
    folder="shipped:smoke",
    tasks=sorted(path.stem for path in (SHIPPED_SUITES / "smoke").glob("*.yaml")),
)

TASK = """\
task: mine
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: choices
doc_to_target: answer
"""


def own_suite(folder: Path, data: str = "mine.jsonl") -> SuiteConfig:
    (folder / "mine.yaml").write_text(TASK.format(data=data))
    record = {"question": "Q", "choices": ["a", "b"], "answer": 1}
    (folder / "mine.jsonl").write_text(json.dumps(record) + "\n")
    return SuiteConfig(name="own", folder=str(folder), tasks=["mine"])


def test_the_shipped_suite_names_every_task_file() -> None:
    with initialize_config_module("conf", version_base="1.3"):
        from eval.config import SCHEMAS
        from pacos.configs.compose import register

        register(SCHEMAS)
        composed = compose("eval", ["target=x"])
    assert sorted(composed.suite.tasks) == SMOKE.tasks


def test_every_shipped_item_is_well_formed() -> None:
    tasks = build_suite(SMOKE).tasks
    assert [task.config.task for task in tasks] == SMOKE.tasks
    items = [(task, doc) for task in tasks for doc in task.eval_docs]
    assert len(items) >= 60
    assert len({doc["id"] for _, doc in items}) == len(items)
    for task, doc in items:
        target = task.doc_to_target(doc)
        assert task.doc_to_text(doc).strip() == task.doc_to_text(doc)
        if task.OUTPUT_TYPE == "multiple_choice":
            choices = task.doc_to_choice(doc)
            assert len(set(choices)) == len(choices) == 4
            assert all(choice.strip() == choice != "" for choice in choices)
            assert 0 <= target < len(choices)
        else:
            assert target.strip() == target != ""


@pytest.mark.parametrize("name", [name for name in SMOKE.tasks if "generation" not in name])
def test_right_answers_stand_in_every_place_alike(name: str) -> None:
    suite = SuiteConfig(name="smoke", folder="shipped:smoke", tasks=[name])
    (task,) = build_suite(suite).tasks
    places = [task.doc_to_target(doc) for doc in task.eval_docs]
    counts = [places.count(place) for place in range(4)]
    assert max(counts) - min(counts) <= 1


def test_data_files_are_found_beside_the_task_file(tmp_path: Path) -> None:
    suite = build_suite(own_suite(tmp_path))
    assert suite.files == {
        "suite/mine": tmp_path / "mine.yaml",
        "data/mine.jsonl": tmp_path / "mine.jsonl",
    }
    assert [doc["question"] for doc in suite.tasks[0].eval_docs] == ["Q"]


def test_a_wildcard_takes_every_task_file_of_the_folder(tmp_path: Path) -> None:
    own_suite(tmp_path)
    (tmp_path / "_common.yaml").write_text("output_type: multiple_choice\n")
    (tmp_path / "yours.yaml").write_text("include: mine.yaml\ntask: yours\n")
    suite = build_suite(SuiteConfig(name="own", folder=str(tmp_path), tasks=["*"]))
    assert [task.config.task for task in suite.tasks] == ["mine", "yours"]


def test_a_group_of_the_folder_holds_its_tasks(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    own_suite(tmp_path)
    text = (tmp_path / "mine.yaml").read_text().replace("mine.jsonl", str(tmp_path / "mine.jsonl"))
    (tmp_path / "mine.yaml").write_text(text)
    metric = "aggregate_metric_list: [{metric: acc, weight_by_size: true}]"
    (tmp_path / "_all.yaml").write_text(f"group: all_mine\ntask: [mine]\n{metric}\n")
    config = SuiteConfig(
        name="own", folder=str(tmp_path), tasks=["all_mine"], num_fewshot={"all_mine": 0}
    )
    (group,) = build_suite(config).tasks
    assert [task.task_name for task in leaves([group])] == ["mine"]


def test_a_suite_says_how_many_examples_a_task_has(tmp_path: Path) -> None:
    suite = own_suite(tmp_path)
    (task,) = build_suite(replace(suite, num_fewshot={"mine": 3})).tasks
    assert task.config.num_fewshot == 3
    with pytest.raises(
        UserError, match=r"suite\.num_fewshot\.yours: no such task.* which has mine"
    ):
        build_suite(replace(suite, num_fewshot={"yours": 3}))


def test_examples_of_a_group_are_for_one_of_its_tasks_too(tmp_path: Path) -> None:
    """`mmlu: 5` is for `mmlu_anatomy` alone, too, unless that is named itself."""
    suite = own_suite(tmp_path)
    text = (tmp_path / "mine.yaml").read_text()
    (tmp_path / "mine_own.yaml").write_text(text.replace("task: mine", "task: mine_own"))
    (tmp_path / "mines.yaml").write_text(text.replace("task: mine", "task: mines"))
    both = replace(suite, tasks=["mine_own", "mines"], num_fewshot={"mine": 3, "mines": 1})
    assert [task.config.num_fewshot for task in build_suite(both).tasks] == [3, 1]
    both = replace(both, num_fewshot={"mine_own": 2, "mine": 3})
    own, other = build_suite(both).tasks
    assert own.config.num_fewshot == 2
    assert other.config.num_fewshot != 3


def test_an_unknown_task_is_told_with_names_that_are_near(tmp_path: Path) -> None:
    suite = own_suite(tmp_path)
    with pytest.raises(UserError, match=r"suite\.tasks = hellaswagg: .* did you mean hellaswag"):
        build_suite(replace(suite, tasks=["hellaswagg"]))


def test_a_missing_data_file_is_named(tmp_path: Path) -> None:
    suite = own_suite(tmp_path, data="gone.jsonl")
    with pytest.raises(UserError, match=r"mine\.yaml: its data file .*gone\.jsonl does not exist"):
        build_suite(suite)


@pytest.mark.parametrize("text", ["task: [", "- a\n- b\n", "output_type: multiple_choice\n"])
def test_a_broken_task_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(UserError, match=r"mine\.yaml"):
        build_suite(SuiteConfig(name="own", folder=str(tmp_path), tasks=["mine"]))


def test_broken_data_is_named(tmp_path: Path) -> None:
    suite = own_suite(tmp_path)
    (tmp_path / "mine.jsonl").write_text("no json\n")
    with pytest.raises(UserError, match="task mine: cannot be loaded"):
        build_suite(suite)


def test_an_unknown_key_is_named(tmp_path: Path) -> None:
    suite = own_suite(tmp_path)
    with (tmp_path / "mine.yaml").open("a") as file:
        file.write("doc_to_txt: typo\n")
    with pytest.raises(UserError, match=r"task mine: .*doc_to_txt"):
        build_suite(suite)
