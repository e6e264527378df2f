"""Evaluations of fake models, most of them in a sandbox that trusts the tests' own programs, to be fast."""

from __future__ import annotations

import dataclasses
import errno
import json
import logging
import os
import subprocess
import sys
import threading
import time
from math import comb
from types import SimpleNamespace

import pytest

from hrm_codegen import evaluator
from hrm_codegen.data.problem import Problem, to_dict
from hrm_codegen.errors import DatasetError, EvaluationTimeout, PromptError, SandboxError, UsageError
from hrm_codegen.evaluator import Program, ProgramResult, Verdict, evaluate, pass_at_k, score_samples
from hrm_codegen.evaluator.completions import problem_seed
from hrm_codegen.evaluator.results_log import ResultsLog
from hrm_codegen.evaluator.runner import timeout_line

LOGGER = "hrm_codegen.evaluator"


class TrustingSandbox:
    """Runs programs in this process; a comment in a program may name its verdict."""

    tier = "none"

    def __init__(self):
        self.ran: list[Program] = []

    def describe(self):
        return {"tier": self.tier}

    def stop(self):
        """Nothing outlives its call here."""

    def run(self, program: Program) -> ProgramResult:
        self.ran.append(program)
        if program.code.startswith("# verdict: "):
            return ProgramResult(verdict=Verdict(program.code.split()[2]), message="as told")
        namespace: dict = {}
        try:
            for text in (program.code, program.test_setup_code, *program.test_list):
                exec(text, namespace)
        except Exception as error:
            return ProgramResult(verdict=Verdict.WRONG_ANSWER, message=repr(error))
        return ProgramResult(verdict=Verdict.PASSED)


def make_problem(number: int, **fields) -> Problem:
    text = f"Add {number}."
    code = f"def add{number}(x):\n    return x + {number}\n"
    return Problem(
        task_id=f"mbpp/{number}", text=text, code=code, test_list=(f"assert add{number}(1) == {number + 1}",), **fields
    )


PROBLEMS = [make_problem(number) for number in (11, 12, 13, 123)]


class Reference:
    """Writes the reference solution of the problem in the prompt, as `generate_code` only."""

    def __init__(self, wrong=()):
        self.wrong = set(wrong)
        self.prompts: list[str] = []

    def answer(self, prompt, index=0):
        problem = next(p for p in PROBLEMS if p.text in prompt)
        return "" if (problem.task_id, index) in self.wrong else problem.code

    def generate_code(self, prompt, **options):
        self.prompts.append(prompt)
        return self.answer(prompt)


class Batched(Reference):
    """The same with `generate`; no two samples are the same text, some are wrong, and calls are kept."""

    def __init__(self, wrong=()):
        super().__init__(wrong)
        self.calls: list[dict] = []

    def generate(self, prompts, *, num_samples, seeds, batch_size, **sampling):
        self.calls.append({"prompts": list(prompts), "seeds": list(seeds), "batch_size": batch_size, **sampling})
        return [[f"{self.answer(prompt, i)}# {i}\n" for i in range(num_samples)] for prompt in prompts]


@pytest.fixture
def fast(monkeypatch):
    """Keyword arguments for a fast evaluation."""
    monkeypatch.setattr("hrm_codegen.evaluator.evaluation.self_check", lambda sandbox: None)
    return {"sandbox": TrustingSandbox()}


def test_pass_at_k_of_the_reference_is_one(tmp_path):
    path = tmp_path / "test_raw.json"
    path.write_text(json.dumps([to_dict(problem) for problem in PROBLEMS[:2]]))
    assert pass_at_k(Reference(), str(path), k=(1, 2)) == {"pass@1": 1.0, "pass@2": 1.0}


def test_pass_at_k_of_wrong_code_is_zero_and_both_file_formats_are_read(tmp_path, fast):
    path = tmp_path / "test_raw.jsonl"
    path.write_text("".join(json.dumps(to_dict(problem)) + "\n" for problem in PROBLEMS))
    model = SimpleNamespace(generate_code=lambda prompt: "def f(): pass")
    assert pass_at_k(model, path, **fast) == {"pass@1": 0.0, "pass@10": 0.0}


def test_pass_at_k_is_the_mean_of_unbiased_estimates(fast):
    wrong = [("mbpp/11", i) for i in range(7)] + [("mbpp/12", i) for i in range(2)]
    result = evaluate(Batched(wrong), PROBLEMS, k=(1, 5), num_samples=10, **fast)
    expected = [1 - comb(10 - right, 5) / comb(10, 5) for right in (3, 8, 10, 10)]
    assert result.metrics["pass@1"] == pytest.approx((0.3 + 0.8 + 1 + 1) / 4)
    assert result.metrics["pass@5"] == pytest.approx(sum(expected) / 4)


def test_the_report_says_which_model_it_was(fast):
    model = Reference()
    model.metadata, model.sha256, model.num_params = {"path": "best.pt"}, "abc", 7
    model.config = SimpleNamespace(name="tiny")
    identity = {"name": "tiny", "path": "best.pt", "sha256": "abc", "params": 7}
    assert evaluate(model, PROBLEMS, k=1, **fast).to_json()["model"] == identity
    assert evaluate(Reference(), PROBLEMS, k=1, **fast).model["name"] == "Reference"


def test_one_k_may_be_a_number(fast):
    assert pass_at_k(Reference(), PROBLEMS, 1, **fast) == {"pass@1": 1.0}


def test_the_prompt_shows_as_many_tests_as_the_model_was_trained_with(fast):
    model = Reference()
    evaluate(model, PROBLEMS[:1], k=1, **fast)
    model.config = SimpleNamespace(data=SimpleNamespace(prompt_tests=0), name="m")
    assert evaluate(model, PROBLEMS[:1], k=1, **fast).settings["prompt_tests"] == 0
    evaluate(model, PROBLEMS[:1], k=1, prompt_tests=1, **fast)
    assert model.prompts == ["Add 11.\nassert add11(1) == 12", "Add 11.", "Add 11.\nassert add11(1) == 12"]


def test_options_reach_the_model_and_defaults_come_from_its_configuration(fast):
    model = Batched()
    model.config = SimpleNamespace(sample=SimpleNamespace(temperature=0.3, max_tokens=7, top_p=0.9, seed=5), name="m")
    result = evaluate(model, PROBLEMS[:1], k=1, temperature=0.0, **fast)
    assert {name: model.calls[0][name] for name in ("temperature", "max_tokens", "top_p")} == {
        "temperature": 0.0,
        "max_tokens": 7,
        "top_p": 0.9,
    }
    assert (result.settings["seed"], result.settings["temperature"]) == (5, 0.0)


def test_a_model_that_takes_few_options_gets_few(fast):
    seen = []

    def generate_code(prompt, temperature):
        seen.append(temperature)
        return PROBLEMS[0].code

    evaluate(
        SimpleNamespace(generate_code=generate_code), PROBLEMS[:1], k=1, temperature=1, max_tokens=5, seed=1, **fast
    )
    assert seen == [1]


def test_seeds_depend_on_the_task_alone(fast):
    def seeds(problems, **options):
        model = Batched()
        evaluate(model, problems, k=1, **options, **fast)
        return {
            prompt: seed for call in model.calls for prompt, seed in zip(call["prompts"], call["seeds"], strict=True)
        }

    everything = seeds(PROBLEMS)
    assert len(set(everything.values())) == 4
    assert seeds(PROBLEMS[::-1], batch_size=1) == everything
    assert seeds(PROBLEMS, limit=2, num_samples=3).items() <= everything.items()
    assert not set(seeds(PROBLEMS, seed=1).values()) & set(everything.values())


def test_one_by_one_each_sample_has_its_own_seed(fast):
    seen = []
    model = SimpleNamespace(generate_code=lambda prompt, seed: seen.append(seed) or "")
    evaluate(model, PROBLEMS[:2], k=2, **fast)
    assert len(set(seen)) == 4
    assert seen[0] == problem_seed(0, "mbpp/11")


def test_chunks_hold_about_a_batch_of_sequences(fast):
    model = Batched()
    evaluate(model, PROBLEMS, k=2, batch_size=4, **fast)
    assert [len(call["prompts"]) for call in model.calls] == [2, 2]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"k": (1, 10), "num_samples": 5}, "n must be ≥ max\\(k\\)"),
        ({"k": 0}, "k must be at least 1"),
        ({"k": ()}, "k must be at least 1"),
        ({"limit": 0}, "limit"),
        ({"batch_size": 0}, "batch_size"),
        ({"workers": -1}, "workers"),
        ({"timeout": 0.0}, "timeout"),
    ],
)
def test_impossible_options_are_refused(fast, options, text):
    model = Reference()
    with pytest.raises(UsageError, match=text):
        evaluate(model, PROBLEMS, **options, **fast)
    assert not model.prompts


def test_something_that_is_no_model_is_refused(fast):
    with pytest.raises(UsageError, match="neither generate"):
        evaluate(object(), PROBLEMS, **fast)
    with pytest.raises(UsageError, match="did not return 2 samples"):
        evaluate(SimpleNamespace(generate=lambda prompts, **_: [["x"]]), PROBLEMS, k=2, **fast)


def test_a_problem_without_tests_is_refused(fast):
    with pytest.raises(DatasetError, match="mbpp/7"):
        evaluate(Reference(), [Problem(task_id="mbpp/7", text="x")], **fast)


@pytest.mark.parametrize("kind", ["generate", "generate_code"])
def test_a_refused_prompt_fails_alone_and_aloud(fast, caplog, kind):
    def answer(prompt):
        if "Add 12." in prompt:
            raise PromptError("prompt must be non-empty and <2048 chars")
        return Reference().answer(prompt)

    model = SimpleNamespace(
        generate=lambda prompts, *, num_samples, **_: [[answer(p)] * num_samples for p in prompts],
        generate_code=lambda prompt: answer(prompt),
    )
    result = evaluate(SimpleNamespace(**{kind: getattr(model, kind)}), PROBLEMS, k=2, **fast)
    assert result.metrics["pass@2"] == 0.75
    assert [sample.verdict for sample in result.by_problem()["mbpp/12"]] == ["load_error", "load_error"]
    assert "mbpp/12" in caplog.text


def told(verdict):
    return SimpleNamespace(generate_code=lambda prompt: f"# verdict: {verdict}")


@pytest.mark.parametrize("verdict", ["timeout_cpu", "timeout_wall"])
def test_timeouts_are_failures_and_warned_of_once(fast, caplog, verdict):
    caplog.set_level(logging.DEBUG, LOGGER)
    result = evaluate(told(verdict), PROBLEMS[:3], k=1, timeout=2, workers=1, **fast)
    lines = [(record.levelname, record.getMessage()) for record in caplog.records if "Timeout (" in record.getMessage()]
    assert [level for level, _ in lines] == ["WARNING", "DEBUG", "DEBUG"]
    assert lines[0][1] == timeout_line("mbpp/11", 2.0, sys.stderr.encoding or "utf-8")
    assert (result.metrics["pass@1"], result.metrics["n_timeouts"], result.metrics["n_errors"]) == (0.0, 3.0, 0.0)


def test_the_timeout_line():
    assert timeout_line("mbpp/123", 2.0, "utf-8") == "⏱️  Timeout (2s) on example #123"
    assert timeout_line("mbpp/123", 2, "ascii") == "[timeout]  Timeout (2s) on example #123"
    assert (
        timeout_line("basics/reverse", 0.5, "no such encoding")
        == "[timeout]  Timeout (0.5s) on example #basics/reverse"
    )


def test_timeouts_raise_when_asked_to(fast):
    with pytest.raises(EvaluationTimeout, match=r"Timeout \(2s\) on example #11"):
        evaluate(told("timeout_cpu"), PROBLEMS, k=1, on_timeout="raise", workers=1, **fast)
    with pytest.raises(Exception, match="on_timeout"):  # the run-time type check of the tests may be first
        evaluate(told("timeout_cpu"), PROBLEMS, k=1, on_timeout="explode", **fast)


def test_a_harness_error_is_nobody_s_score(fast, tmp_path):
    with pytest.raises(SandboxError, match=r"4 programs .*mbpp/11 \(sample 0\): as told"):
        evaluate(told("harness_error"), PROBLEMS, k=1, out=tmp_path / "run", **fast)
    assert not (tmp_path / "run" / "report.json").exists()
    lines = (tmp_path / "run" / "results.jsonl").read_text().splitlines()
    assert [json.loads(line)["verdict"] for line in lines] == ["harness_error"] * 4
    result = evaluate(Reference(), PROBLEMS, k=1, **fast)  # the next run is not spoilt
    assert result.metrics["n_harness_error"] == 0.0


def test_the_sandbox_is_checked_before_it_is_used():
    with pytest.raises(SandboxError, match="known program"):
        evaluate(Reference(), PROBLEMS, sandbox=_Pleased())


class _Pleased(TrustingSandbox):
    def run(self, program):
        return ProgramResult(verdict=Verdict.PASSED)


def test_every_result_is_called_back(fast):
    seen = []
    evaluate(Reference(), PROBLEMS, k=2, on_result=seen.append, workers=3, **fast)
    assert sorted((s.task_id, s.sample) for s in seen) == sorted((p.task_id, i) for p in PROBLEMS for i in range(2))


def test_an_error_of_a_callback_is_not_swallowed(fast):
    def fail(result):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        evaluate(Reference(), PROBLEMS, k=1, on_result=fail, **fast)


def test_results_and_report_are_files(fast, tmp_path):
    result = evaluate(Reference([]), PROBLEMS, k=1, out=tmp_path, **fast)
    rows = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert {(row["task_id"], row["sample"], row["verdict"], row["message"]) for row in rows} == {
        (problem.task_id, 0, "passed", "") for problem in PROBLEMS
    }
    assert {row["completion"] for row in rows} == {problem.code for problem in PROBLEMS}
    report = json.loads((tmp_path / "report.json").read_text())
    assert report == json.loads(json.dumps(result.to_json()))
    assert set(report) == {"metrics", "dataset", "model", "sandbox", "settings"}


class _Interrupted(Batched):
    def generate(self, prompts, **options):
        if len(self.calls) == 2:
            raise KeyboardInterrupt
        return super().generate(prompts, **options)


_Interrupted.__name__ = Batched.__name__  # the same model to the folder


def test_an_interrupted_run_goes_on_and_ends_the_same(fast, tmp_path):
    wrong = [("mbpp/12", 1), ("mbpp/13", 0)]
    whole = evaluate(Batched(wrong), PROBLEMS, k=2, batch_size=2, out=tmp_path / "whole", **fast)
    with pytest.raises(KeyboardInterrupt):
        evaluate(_Interrupted(wrong), PROBLEMS, k=2, batch_size=2, out=tmp_path / "run", **fast)
    results = tmp_path / "run" / "results.jsonl"
    lines = results.read_text().splitlines(keepends=True)[:3]  # two of the first problem, one of the second
    results.write_text("".join([*lines, (lines or ["{}"])[0][:20]]))  # and a torn one
    fast["sandbox"].ran.clear()
    model = Batched(wrong)
    again = evaluate(model, PROBLEMS, k=2, batch_size=2, out=tmp_path / "run", **fast)
    assert len(fast["sandbox"].ran) == 8 - len(lines)
    assert len(results.read_text().splitlines()) == 8
    assert dataclasses.replace(again) == whole
    assert (tmp_path / "run" / "report.json").read_bytes() == (tmp_path / "whole" / "report.json").read_bytes()


def test_a_finished_run_asks_nothing_and_a_larger_limit_asks_the_rest(fast, tmp_path):
    evaluate(Batched(), PROBLEMS, k=1, limit=3, out=tmp_path, **fast)
    model = Batched()
    evaluate(model, PROBLEMS, k=1, limit=3, out=tmp_path, **fast)
    assert model.calls == []
    result = evaluate(model, PROBLEMS, k=1, out=tmp_path, **fast)
    assert [call["prompts"] for call in model.calls] == [["Add 123.\nassert add123(1) == 124"]]
    assert len(result.samples) == 4
    assert len(evaluate(model, PROBLEMS, k=1, limit=2, out=tmp_path, **fast).samples) == 2


def test_harness_errors_of_an_earlier_run_are_done_again(fast, tmp_path):
    with pytest.raises(SandboxError):
        evaluate(told("harness_error"), PROBLEMS, k=1, out=tmp_path, **fast)
    model = SimpleNamespace(generate_code=Reference().generate_code)
    assert evaluate(model, PROBLEMS, k=1, out=tmp_path, **fast).metrics["pass@1"] == 1.0


def test_a_folder_of_other_settings_is_refused(fast, tmp_path):
    evaluate(Reference(), PROBLEMS, k=1, out=tmp_path, **fast)
    with pytest.raises(UsageError, match=r"timeout was 2\.0, now 3\.0.*another --out"):
        evaluate(Reference(), PROBLEMS, k=1, timeout=3, out=tmp_path, **fast)
    with pytest.raises(UsageError, match="dataset_sha256"):
        evaluate(Reference(), PROBLEMS[:2], k=1, out=tmp_path, **fast)
    other = Reference()
    other.sha256 = "abc"
    with pytest.raises(UsageError, match="model was"):
        evaluate(other, PROBLEMS, k=1, out=tmp_path, **fast)


def test_broken_folders_are_named(fast, tmp_path):
    evaluate(Reference(), PROBLEMS, k=1, out=tmp_path, **fast)
    results, run = tmp_path / "results.jsonl", tmp_path / "run.json"
    results.write_text('{"task_id": 1}\n' + results.read_text())
    with pytest.raises(DatasetError, match=r"results\.jsonl:1: "):
        evaluate(Reference(), PROBLEMS, k=1, out=tmp_path, **fast)
    run.write_text("{")
    with pytest.raises(UsageError, match="broken"):
        evaluate(Reference(), PROBLEMS, k=1, out=tmp_path, **fast)
    run.unlink()
    with pytest.raises(UsageError, match=r"no run\.json"):
        evaluate(Reference(), PROBLEMS, k=1, out=tmp_path, **fast)
    with pytest.raises(UsageError, match="cannot write"):
        evaluate(Reference(), PROBLEMS, k=1, out=results, **fast)


KILLED = """
import time
from hrm_codegen.evaluator import evaluate
class Model:
    def generate_code(self, prompt):
        n = prompt.split()[1].rstrip(".")
        return f"import time\\ntime.sleep(0.1)\\ndef add{n}(x):\\n    return x + {n}\\n"
rows = [dict(task_id=i, text=f"Add {i}.", test_list=[f"assert add{i}(1) == {i + 1}"]) for i in range(12)]
print(evaluate(Model(), rows, k=(1, 2), workers=2, out=OUT).metrics["pass@1"])
"""


@pytest.mark.sandbox
def test_a_killed_evaluator_resumes(tmp_path):
    script, results = KILLED.replace("OUT", repr(str(tmp_path))), tmp_path / "results.jsonl"
    with subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "TMPDIR": str(tmp_path)}) as process:
        while not results.exists() or results.read_bytes().count(b"\n") < 3:
            assert process.poll() is None
            time.sleep(0.02)
        process.kill()
    kept = results.read_bytes().rpartition(b"\n")[0].split(b"\n")
    assert not (tmp_path / "report.json").exists()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "1.0\n"
    lines = results.read_bytes().splitlines()
    assert lines[: len(kept)] == kept
    assert len({(row["task_id"], row["sample"]) for row in map(json.loads, lines)}) == len(lines) == 24


def samples(*pairs):
    return [{"task_id": task_id, "completion": text} for task_id, text in pairs]


def test_samples_of_anyone_are_scored(fast, caplog, tmp_path):
    by_id = {problem.task_id: problem.code for problem in PROBLEMS}
    rows = samples(("mbpp/12", by_id["mbpp/12"]), (11, ""), ("Mbpp/11", f"```python\n{by_id['mbpp/11']}```"), (12, "x"))
    result = score_samples(rows, PROBLEMS, k=(1, 2, 5), out=tmp_path, **fast)
    assert result.metrics["pass@1"] == pytest.approx((0.5 + 0.5 + 0 + 0) / 4)
    assert result.metrics["pass@2"] == pytest.approx(0.5)
    assert "pass@5" not in result.metrics
    assert "no pass@5: task mbpp/12 has 2 samples" in caplog.text
    assert "2 of 4 problems have no sample" in caplog.text
    assert result.metrics["n_missing"] == 2.0
    assert result.by_problem()["mbpp/11"][1].changes == ("took one of 1 fenced blocks",)
    fast["sandbox"].ran.clear()
    assert score_samples(rows, PROBLEMS, k=1, out=tmp_path, **fast).metrics["pass@1"] == result.metrics["pass@1"]
    assert fast["sandbox"].ran == []
    with pytest.raises(UsageError, match="samples_sha256"):
        score_samples(rows[:3], PROBLEMS, k=1, out=tmp_path, **fast)


def test_samples_with_no_possible_k_or_no_problem_are_refused(fast):
    with pytest.raises(UsageError, match=r"n must be ≥ max\(k\): task mbpp/11 has 1 sample, k is 5"):
        score_samples(samples((11, "")), PROBLEMS, k=5, **fast)
    with pytest.raises(DatasetError, match="no samples"):
        score_samples(samples((12, "")), PROBLEMS, limit=1, **fast)


def test_public_names_are_objects_and_cost_nothing_until_used():
    for name in evaluator.__all__:
        assert callable(getattr(evaluator, name))
    with pytest.raises(AttributeError):
        evaluator.nothing  # noqa: B018
    code = "import sys, hrm_codegen.evaluator as e; dir(e); print({'numpy', 'jax', 'json'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


class FlakySandbox(TrustingSandbox):
    """Gives each program the verdicts of a list, one a run, and keeps how many ran at a time."""

    def __init__(self, *verdicts):
        super().__init__()
        self.verdicts, self.runs, self.now, self.at_once = verdicts, {}, 0, []
        self.lock = threading.Lock()

    def run(self, program):
        with self.lock:
            self.ran.append(program)
            number = self.runs.get(program.code, 0)
            self.runs[program.code] = number + 1
            self.now += 1
            self.at_once.append(self.now)
        time.sleep(0.01)
        with self.lock:
            self.now -= 1
        return ProgramResult(verdict=Verdict(self.verdicts[min(number, len(self.verdicts) - 1)]), message="as told")


def test_a_timeout_that_does_not_come_again_alone_is_none(fast, caplog, tmp_path):
    sandbox, events = FlakySandbox("timeout_cpu", "passed"), []
    result = evaluate(
        Batched(), PROBLEMS, k=(1, 2), workers=4, sandbox=sandbox, on_event=events.append, out=tmp_path, timeout=2
    )
    assert result.metrics["pass@1"] == 1.0
    assert result.metrics["n_timeouts"] == 0.0
    assert result.settings["confirm_timeouts"] is True
    assert set(sandbox.runs.values()) == {2}
    assert set(sandbox.at_once[-8:]) == {1}
    assert "Timeout" not in caplog.text
    confirmed = [event for event in events if event["event"] == "timeout_confirmed"]
    assert {(e["first"], e["verdict"]) for e in confirmed} == {("timeout_cpu", "passed")}
    assert len(confirmed) == 8
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 8


def test_a_timeout_that_comes_again_counts_and_the_second_verdict_is_kept(fast, caplog):
    result = evaluate(Reference(), PROBLEMS, k=1, sandbox=FlakySandbox("timeout_wall", "timeout_cpu"))
    assert result.metrics["n_timeout_cpu"] == 4.0
    assert caplog.text.count("Timeout (2s)") == 1


def test_a_first_timeout_counts_when_that_was_asked_for(fast):
    sandbox = FlakySandbox("timeout_cpu", "passed")
    result = evaluate(Reference(), PROBLEMS, k=1, sandbox=sandbox, confirm_timeouts=False)
    assert result.metrics["n_timeouts"] == 4.0
    assert result.settings["confirm_timeouts"] is False
    with pytest.raises(EvaluationTimeout):
        evaluate(Reference(), PROBLEMS, k=1, sandbox=sandbox.__class__("timeout_cpu"), confirm_timeouts=False,
                 on_timeout="raise")  # fmt: skip


def test_nothing_is_on_disk_before_a_timeout_is_confirmed(fast, tmp_path):
    seen = []

    class Looking(FlakySandbox):
        def run(self, program):
            if self.runs.get(program.code):
                seen.append((tmp_path / "results.jsonl").read_text().count("\n"))
            return super().run(program)

    evaluate(Reference(), PROBLEMS, k=1, sandbox=Looking("timeout_cpu"), out=tmp_path)
    assert seen == [0, 1, 2, 3]


def test_the_harness_gets_a_second_chance(fast):
    assert (
        evaluate(Reference(), PROBLEMS, k=1, sandbox=FlakySandbox("harness_error", "passed")).metrics["pass@1"] == 1.0
    )
    with pytest.raises(SandboxError, match="could not be judged"):
        evaluate(Reference(), PROBLEMS, k=1, sandbox=FlakySandbox("harness_error", "harness_error", "passed"))


def test_equal_programs_run_once(fast):
    events = []
    result = evaluate(Reference(), PROBLEMS, k=5, workers=3, on_event=events.append, **fast)
    assert len(fast["sandbox"].ran) == 4
    assert result.metrics["n_passed"] == 20.0
    assert sum(event.get("cached", False) for event in events) == 16


def test_a_cache_saves_the_second_run_and_changes_no_report(fast, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    options = {"k": 1, "cache": tmp_path / "cache", **fast}
    first = evaluate(Reference([("mbpp/11", 0)]), PROBLEMS, out=tmp_path / "a", **options)
    fast["sandbox"].ran.clear()
    assert evaluate(Reference([("mbpp/11", 0)]), PROBLEMS, out=tmp_path / "b", **options) == first
    assert fast["sandbox"].ran == []
    assert "4 verdicts came from the cache" in caplog.text
    assert (tmp_path / "a" / "report.json").read_bytes() == (tmp_path / "b" / "report.json").read_bytes()
    evaluate(Reference(), PROBLEMS, k=1, timeout=3, cache=tmp_path / "cache", **fast)
    assert len(fast["sandbox"].ran) == 4


def test_by_default_python_callers_have_no_cache(fast, tmp_path, monkeypatch):
    monkeypatch.setenv("HRM_CODEGEN_CACHE", str(tmp_path / "cache"))
    evaluate(Reference(), PROBLEMS, k=1, **fast)
    assert not (tmp_path / "cache").exists()
    evaluate(Reference(), PROBLEMS, k=1, cache=True, **fast)
    assert (tmp_path / "cache" / "verdicts").is_dir()


def test_all_tests_and_slow_tasks_reach_the_sandbox(fast):
    slow = dataclasses.replace(PROBLEMS[0], timeout_factor=15.0)
    result = evaluate(Reference(), [slow], k=1, all_tests=True, timeout=2, **fast)
    assert (fast["sandbox"].ran[0].all_tests, fast["sandbox"].ran[0].timeout) == (True, 30.0)
    assert result.settings["all_tests"] is True


def test_the_report_names_the_problems(fast):
    assert evaluate(Reference(), PROBLEMS, k=1, limit=2, **fast).dataset["task_ids"] == ["mbpp/11", "mbpp/12"]


def test_a_run_that_fails_says_so_to_who_watches(fast):
    events = []
    with pytest.raises(SandboxError):
        evaluate(told("harness_error"), PROBLEMS, k=1, on_event=events.append, **fast)
    assert events[-1]["event"] == "run_failed"
    assert "could not be judged" in events[-1]["error"]


def test_a_file_that_was_being_written_in_a_kill_is_cleaned_away(fast, tmp_path):
    (tmp_path / ".report.json.abc").write_text("{")
    evaluate(Reference(), PROBLEMS, k=1, out=tmp_path, **fast)
    assert {path.name for path in tmp_path.iterdir()} == {"run.json", "results.jsonl", "report.json"}


def test_a_folder_is_one_evaluation_s_at_a_time(fast, tmp_path, monkeypatch):
    with ResultsLog(tmp_path, {"timeout": 2.0}):
        with pytest.raises(UsageError, match="another evaluation is writing to"):
            evaluate(Reference(), PROBLEMS, k=1, out=tmp_path, **fast)
        (tmp_path / "run.json").unlink()
    (tmp_path / "results.jsonl").unlink()
    evaluate(Reference(), PROBLEMS, k=1, out=tmp_path, **fast)

    def flock(descriptor, operation):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr("fcntl.flock", flock)
    evaluate(Reference(), PROBLEMS, k=1, out=tmp_path, **fast)


def test_a_folder_that_was_refused_is_free_again(fast, tmp_path):
    evaluate(Reference(), PROBLEMS, k=1, out=tmp_path, **fast)
    with pytest.raises(UsageError, match="other settings"):
        ResultsLog(tmp_path, {})
    evaluate(Reference(), PROBLEMS, k=1, out=tmp_path, **fast)
