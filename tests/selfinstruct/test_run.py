"""Whole runs with a scripted generator."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pacos.errors import EXIT_DONE, EXIT_USER_ERROR
from pacos.files import read_json, read_jsonl
from pacos.run.lives import Lives, State
from pacos.run_paths import RunPaths
from pacos.schemas import Row
from pacos.tracking import metrics
from selfinstruct.run import main
from tests.conftest import ROOT, signals_kept
from tests.pacos.llm.scripted_server import Rule
from tests.selfinstruct.generator_server import GeneratorServer
from tests.selfinstruct.runs import answered, run_here


@pytest.fixture(scope="module")
def whole(server: GeneratorServer, tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    """A run that nobody disturbed."""
    with signals_kept():
        code, run = run_here(server.url, tmp_path_factory.mktemp("runs"), "whole")
    assert code == EXIT_DONE
    return run


def test_rows_are_seeds_and_generated(whole: RunPaths) -> None:
    rows = [Row.from_json(record, "data") for record in read_jsonl(whole.data / "data.jsonl")]
    held = [Row.from_json(record, "heldout") for record in read_jsonl(whole.data / "heldout.jsonl")]
    seeds = [row for row in rows if row.source == "seed"]
    generated = [row for row in rows if row.source == "generated"]
    assert (len(seeds), len(generated), len(held)) == (150, 60, 25)
    assert not {row.id for row in held} & {row.id for row in rows}
    assert len({row.id for row in rows}) == len(rows)
    assert {row.lineage["terms"] for row in [*seeds, *held]} == {"apache-2.0"}
    keys = answered(whole)
    for row in generated:
        assert row.input == ""
        assert set(row.lineage["requests"]) <= keys
        assert len(row.lineage["seeds"]) == 3
        assert not set(row.lineage["seeds"]) & {row.id for row in held}
        assert (row.lineage["teacher"], row.lineage["terms"]) == ("scripted", "unknown")


def test_rejected_candidates_keep_their_reasons(whole: RunPaths) -> None:
    rejected = list(read_jsonl(whole.data / "rejected.jsonl"))
    reasons = {record["reason"] for record in rejected}
    assert {"empty output", "too similar"} <= reasons
    for record in rejected:
        assert (record["nearest"] is not None) == (record["reason"] == "too similar")
        if record["nearest"]:
            assert record["nearest"]["score"] > 0.7


def test_numbers_agree(whole: RunPaths) -> None:
    records = list(read_jsonl(whole.metrics))
    rejected = len(list(read_jsonl(whole.data / "rejected.jsonl")))
    assert [record[metrics.STEP] for record in records] == list(range(1, len(records) + 1))
    assert records[-1][metrics.ACCEPTED] <= 60
    result = read_json(whole.result)
    assert result["rows"] == 60
    assert result["acceptance_rate"] == 60 / (60 + rejected)
    card = (whole.data / "README.md").read_text()
    assert "150 rows were written by people" in card
    assert f"Of {60 + rejected} candidates 60 were accepted" in " ".join(card.split())


def test_the_manifest_knows_seeds_and_terms(whole: RunPaths) -> None:
    manifest = read_json(whole.manifest)
    assert manifest["lineage"] == {"seeds": "apache-2.0", "teacher": "unknown"}
    works = [(work["role"], work["terms"]) for work in manifest["terms"]["inputs"]]
    assert works == [("data", "apache-2.0"), ("teacher", "unknown"), ("code", "apache-2.0")]
    assert manifest["inputs"]["seeds_en"]["path"].endswith("selfinstruct/seeds/en.jsonl")
    assert Lives(whole).state() is State.done


def test_seeds_of_the_user_have_no_terms_of_ours(server: GeneratorServer, tmp_path: Path) -> None:
    own = tmp_path / "own.jsonl"
    own.write_bytes((ROOT / "selfinstruct" / "seeds" / "en.jsonl").read_bytes())
    _, run = run_here(server.url, tmp_path, "own", f"seeds.path={own}", "target_rows=4")
    assert read_json(run.manifest)["lineage"]["seeds"] == "unknown"
    first = next(read_jsonl(run.data / "data.jsonl"))
    assert first["lineage"]["terms"] == "unknown"


METHODS = {
    "alpaca": [],
    "alpaca_paper": ["generator.endpoint.api=completions"],
    "self_instruct": [],
    "self_instruct_paper": ["generator.endpoint.api=completions"],
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("lang", ["en", "ko", "en_ko"])
def test_both_methods_in_both_forms_and_languages(
    server: GeneratorServer, tmp_path: Path, method: str, lang: str
) -> None:
    more = [f"method={method}", f"lang={lang}", "target_rows=8", *METHODS[method]]
    if lang != "en" and method.endswith("paper"):
        pytest.skip("the papers' filters reject whatever is not ASCII")
    code, run = run_here(server.url, tmp_path, "run", *more)
    assert code == EXIT_DONE
    rows = [row for row in read_jsonl(run.data / "data.jsonl") if row["source"] == "generated"]
    assert len(rows) == 8
    assert {row["lineage"]["lang"] for row in rows} == set(lang.split("_"))


def test_max_requests_ends_a_run_that_cannot_fill_its_pool(
    server: GeneratorServer, tmp_path: Path
) -> None:
    code, run = run_here(server.url, tmp_path, "short", "max_requests=6")
    assert code == EXIT_DONE
    result = read_json(run.result)
    assert result["requests"] == 6
    assert 0 < result["rows"] < 60


def test_little_more_is_asked_than_is_used(server: GeneratorServer, tmp_path: Path) -> None:
    _, run = run_here(server.url, tmp_path, "few", "target_rows=20", "window=64")
    assert len(answered(run)) <= 1.5 * read_json(run.result)["requests"]


def test_a_wrong_key_ends_with_the_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with GeneratorServer([Rule("401")]) as server:
        code, run = run_here(server.url, tmp_path, "key")
    assert code == EXIT_USER_ERROR
    assert "api_key_env" in capsys.readouterr().err
    assert Lives(run).state() is State.failed


def test_a_request_that_always_fails_is_reported_and_loses_nothing_else(tmp_path: Path) -> None:
    with GeneratorServer([Rule("filter", times=1)]) as server:
        code, run = run_here(server.url, tmp_path, "filtered", "target_rows=8")
    assert code == EXIT_DONE
    reasons = [record["reason"] for record in read_jsonl(run.data / "rejected.jsonl")]
    assert sum(reason.startswith("request failed") for reason in reasons) == 1


def test_mistakes_of_the_user_end_with_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = [f"run.root={tmp_path}", "run.name=wrong"]
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert main([*place, "generator=openai", "judge=openai"]) == EXIT_USER_ERROR
    message = capsys.readouterr().err
    assert "generator.endpoint.api_key_env = OPENAI_API_KEY" in message
    assert "judge.endpoint.api_key_env = OPENAI_API_KEY" in message
    assert main([*place, "seeds.path=nowhere.jsonl", "target_rows=0"]) == EXIT_USER_ERROR
    message = capsys.readouterr().err
    assert "seeds.path = nowhere.jsonl" in message
    assert "target_rows = 0" in message
    assert main([*place, "seeds.heldout=174"]) == EXIT_USER_ERROR
    assert "method.num_seed_examples = 3: only 1 of 175" in capsys.readouterr().err
    assert Lives(RunPaths(tmp_path / "wrong")).state() is State.failed


@pytest.mark.slow
def test_the_embedded_generator(tmp_path: Path) -> None:
    """The program as a person types it: one short batch of the real model."""
    arguments = [
        "method=alpaca_small",
        "method.tasks.max_tokens=24",
        "max_requests=2",
        f"run.root={tmp_path}",
        "run.name=real",
    ]
    assert main(arguments) == EXIT_DONE
    run = RunPaths(tmp_path / "real")
    replies = list(read_jsonl(run.data / "ledger.jsonl"))
    assert [reply["sent"]["sampling"]["max_tokens"] for reply in replies] == [24, 24]
    assert all(0 < reply["completion_tokens"] <= 24 for reply in replies)


def test_a_run_that_makes_nothing_stops_with_the_reason(
    server: GeneratorServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every instruction is shorter than the filter wants."""
    more = ["filters.min_words=100", "max_fruitless=10", "max_requests=10000"]
    code, run = run_here(server.url, tmp_path, "nothing", *more)
    assert code == EXIT_USER_ERROR
    message = capsys.readouterr().err
    assert "max_fruitless = 10" in message
    assert "instruction too short" in message
    assert len(answered(run)) < 40


@pytest.mark.slow
def test_ten_thousand_rows(tmp_path: Path) -> None:
    seeds = read_jsonl(ROOT / "selfinstruct" / "seeds" / "en.jsonl")
    text = " ".join(row["instruction"] for row in seeds)
    with GeneratorServer() as server:
        server.words = sorted(set(re.findall(r"[a-z]{4,}", text)))
        more = ["target_rows=10000", "max_requests=20000", "window=64"]
        code, run = run_here(server.url, tmp_path, "large", *more)
        assert code == EXIT_DONE
    rows = list(read_jsonl(run.data / "data.jsonl"))
    generated = [row for row in rows if row["source"] == "generated"]
    assert len(generated) == 10_000
    assert len({row["instruction"] for row in generated}) == 10_000
    assert read_json(run.result)["rows"] == 10_000


def test_a_judge_keeps_bad_rows_out(tmp_path: Path) -> None:
    with GeneratorServer() as server:
        judge = ["judge=server", "judge.endpoint.model=judge", f"judge.endpoint.url={server.url}"]
        code, run = run_here(server.url, tmp_path, "judged", *judge, "target_rows=20")
    assert code == EXIT_DONE
    rows = [row for row in read_jsonl(run.data / "data.jsonl") if row["source"] == "generated"]
    assert len(rows) == 20
    assert all(row["lineage"]["quality"] >= 6 for row in rows)
    reasons = {record["reason"] for record in read_jsonl(run.data / "rejected.jsonl")}
    assert "judged too low in quality" in reasons
    assert "judged unsafe: fraud" in reasons
