"""`python -m benchmarks.growth`: its formulas against the real model, its arithmetic, its tables; once, end to end.

What it measures is not tested: times are the machine's.
"""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from benchmarks.growth import __main__ as command
from benchmarks.growth import engine, formulas, plots, tables, work
from benchmarks.growth.measure import formula_bytes
from benchmarks.growth.work import AXES, Decode, Point, Series, Train, all_series, chosen, model_of
from benchmarks.speed.process import ROOT
from benchmarks.speed.records import Record
from hrm_codegen.config import ModelConfig, TrainConfig
from hrm_codegen.generation import sample
from hrm_codegen.model import abstract, bp_schedule, merge
from hrm_codegen.model.schedule import num_passes

SMALL = ModelConfig(
    vocab_size=64, hidden_dim=16, num_heads=2, head_dim=4, intermediate_dim=24, layers_per_stack=3, h_cycles=2,
    l_cycles=3, dtype="float32",
)  # fmt: skip
GROWTH = Series(
    axis="batch",
    kind="train",
    title="Train step, some rows",
    grows="B",
    points=tuple(Point(x=rows, label=str(rows), job=Train(rows=rows)) for rows in (1, 2, 4)),
)


def record(rows: int, ms: float | None, **more: Any) -> Record:
    measured = [] if ms is None else [{"units": rows, "seconds": [ms / 1e3]}]
    facts = {"flops": 2e9 * rows, "bytes": 3.0 * 2**20, "formula_bytes": 2**20}
    return Record(
        **{"section": "s", "size": "", "contender": str(rows), "work": {"x": rows}, "facts": facts, "rounds": measured}
        | more
    )


def test_the_cache_is_as_large_as_the_formula_says() -> None:
    graphdef, params = abstract(SMALL)

    def prefill(params: Any) -> Any:
        tokens, lengths = jnp.zeros((5, 7), jnp.int32), jnp.full(5, 7)
        return merge(graphdef, params).prefill(tokens, lengths, cache_len=11)[1]

    leaves = jax.tree.leaves(jax.eval_shape(prefill, params))
    assert sum(leaf.size * leaf.dtype.itemsize for leaf in leaves) == 5 * 11 * formulas.cache_bytes(SMALL)
    assert formulas.cache_bytes(SMALL) == 2 * 3 * 8 * 8 * 4  # k and v, layers, passes, width, bytes


def test_the_paper_s_model_has_the_paper_s_cache() -> None:
    """786,432 bytes a token in bfloat16 (HRM-Text-1B), twice that here."""
    large = ModelConfig(vocab_size=65536, hidden_dim=1536, num_heads=12, layers_per_stack=16)
    assert formulas.cache_bytes(large) == 2 * 786_432


def test_parameters_are_counted() -> None:
    _, params = abstract(SMALL)
    assert formulas.parameters(SMALL) == sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize("cycles", [(1, 1), (2, 3), (3, 3), (4, 4)])
def test_passes_and_default_k_are_the_model_s(cycles: tuple[int, int]) -> None:
    model = model_of(Train(h_cycles=cycles[0], l_cycles=cycles[1]))
    assert formulas.num_passes(*cycles) == num_passes(model)
    assert formulas.default_graded(*cycles) == bp_schedule(model, TrainConfig(num_steps=10))[-1][1]


def test_memory_grows_with_what_is_kept() -> None:
    weights = 4 * formulas.parameters(SMALL)
    two, three, double = (formulas.train_bytes(SMALL, *each) for each in ((100, 2), (100, 3), (200, 2)))
    assert three - two == 4 * 100 * (3 * (2 * 16 + 5 * 8 + 2 * 24) + 16)
    assert double - two == two - 4 * weights


def test_an_exponent_is_the_slope_of_the_logarithms() -> None:
    xs = [1.0, 2.0, 4.0, 8.0]
    assert formulas.exponent(xs, [5 * x**1.5 for x in xs]) == pytest.approx(1.5)
    assert formulas.exponent(xs, [7.0] * 4) == pytest.approx(0.0)
    assert formulas.exponent(xs, [1.0, None, 16.0, None]) == pytest.approx(2.0)


def test_there_is_no_exponent_of_one_point() -> None:
    assert formulas.exponent([1.0, 2.0], [1.0, None]) is None
    assert formulas.exponent([3.0, 3.0], [1.0, 2.0]) is None
    assert formulas.exponent([], []) is None


def test_every_series_grows_and_has_a_name() -> None:
    series = all_series()
    assert len({each.name for each in series}) == len(series)
    assert {each.axis for each in series} == set(AXES)
    for each in series:
        xs = [point.x for point in each.points]
        assert xs == sorted(xs)
        assert len({point.label for point in each.points}) == len(xs)
        assert all(isinstance(point.job, Train) == (each.kind == "train") for point in each.points)


def test_only_one_size_grows() -> None:
    sequences, batches = chosen(["seq", "batch"])[0], chosen(["batch"])[0]
    assert {point.job.tokens for point in sequences.points} == {2048}
    assert [point.job.tokens for point in batches.points] == [256 * int(point.x) for point in batches.points]
    [samples] = chosen(["samples"], most=2)
    assert [(p.job.sequences, p.job.length) for p in samples.points if isinstance(p.job, Decode)] == [
        (1, 128),
        (2, 128),
    ]


def test_memory_is_that_of_sequences_which_are_decoded_together() -> None:
    assert work.TOGETHER == sample.CPU_BATCH
    memory = [each for each in all_series() if each.kind == "memory"]
    assert max(point.job.sequences for each in memory for point in each.points) == work.TOGETHER


@pytest.mark.parametrize("job", [Decode(samples=40, prompts=1, new_tokens=32), Decode(size="8m", prompts=2)])
def test_a_decoder_s_flops_are_those_of_all_its_tokens(job: Decode) -> None:
    """Two for each weight of a product and each token, and attention's, up to a fifth."""
    facts = engine.Decoder().prepare(**dataclasses.asdict(job))
    model = model_of(job)
    embedding = model.vocab_size * model.hidden_dim
    passes = formulas.num_passes(model.h_cycles, model.l_cycles)
    a_token = 2 * (passes * (formulas.parameters(model) - 2 * embedding) / 2 + embedding)
    weights = a_token * (job.tokens + job.prompts * job.prompt_len)
    assert 0.9 * weights < facts["flops"] < 1.6 * weights


def test_models_have_room_for_the_job() -> None:
    assert model_of(Train(rows=2, seq_len=1024)).max_seq_len == 1024
    assert model_of(Decode(h_cycles=4, l_cycles=1)).h_cycles == 4
    one, shared = Decode(prompts=1, new_tokens=32), Decode(prompts=2, samples=3, new_tokens=32)
    assert (one.positions, shared.positions) == (96, 2 * 64 + 6 * 32)
    assert formula_bytes(shared) * 96 == formula_bytes(one) * shared.positions
    assert formula_bytes(Train(bp_passes=5)) == formula_bytes(Train())


def test_the_table_shows_growth() -> None:
    shown = tables.show(GROWTH, [record(1, 10.0), record(2, 20.0), record(4, 80.0)])
    assert shown == (
        "Train step, some rows:\n\n"
        "| B | ms | tokens/s | GFLOP | GFLOP/s | compiled, MB | estimate, MB |\n"
        "| --- | --- | --- | --- | --- | --- | --- |\n"
        "| 1 | 10.0 (10.0..10.0) | 100 | 2.00 | 200 | 3.00 | 1.00 |\n"
        "| 2 | 20.0 (20.0..20.0) | 100 | 4.00 | 200 | 3.00 | 1.00 |\n"
        "| 4 | 80.0 (80.0..80.0) | 50.0 | 8.00 | 100 | 3.00 | 1.00 |\n"
        "| **exponent** | 1.50 | -0.50 | 1.00 | -0.50 | 0.00 | 0.00 |\n"
        "| the last two | 2.00 | -1.00 | 1.00 | -1.00 | 0.00 | 0.00 |\n"
    )


def test_a_point_that_failed_is_a_line() -> None:
    failed = record(4, None, problem="failed: too large", facts={"formula_bytes": 2**20})
    shown = tables.show(GROWTH, [record(1, 10.0), record(2, 20.0), failed])
    assert "| 4 | failed: too large | – | – | – | – | 1.00 |" in shown
    assert "| **exponent** | 1.00 |" in shown
    assert "| the last two | – |" in shown


def test_the_expected_line_meets_the_last_point() -> None:
    drawn = plots.lines(GROWTH, [record(4, 80.0), record(1, 30.0), record(2, None)])
    assert drawn == {
        "ms": ([1, 4], [30.0, 80.0]),
        "as the FLOPs grow": ([1, 2, 4], pytest.approx([20.0, 40.0, 80.0])),
    }


def test_labels_keep_apart() -> None:
    assert plots.apart([12.0, 1.0, 1.1, 1.25, 12.0, 10.0]) == [1.0, 1.25, 10.0, 12.0]


@pytest.mark.skipif(not plots.is_installed(), reason="needs matplotlib")
def test_a_figure_is_small_and_the_same_each_time(tmp_path: Path) -> None:
    records = {GROWTH.name: [record(1, 10.0), record(2, None), record(4, 80.0)]}
    for name in ("a.svg", "b.svg"):
        plots.draw([GROWTH], records, tmp_path / name)
    figure = (tmp_path / "a.svg").read_bytes()
    assert figure == (tmp_path / "b.svg").read_bytes()
    assert len(figure) < 40_000


@pytest.mark.parametrize("arguments", [["--only", "nothing"], ["--plot", "x"], ["--rounds", "0"]])
def test_wrong_arguments_end_at_once(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plots, "is_installed", lambda: False)
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 2
    if "--plot" in arguments:
        assert "hrm-codegen[bench]" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_command_runs(tmp_path: Path) -> None:
    out = tmp_path / "growth.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.growth", "--quick", "--json", str(out)],
        cwd=ROOT, capture_output=True, text=True, timeout=850,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    titles = [line for line in done.stdout.splitlines() if line.startswith("#")]
    assert titles == [f"## {axis}" for axis in AXES]
    records = json.loads(out.read_text())["records"]
    assert [each["problem"] for each in records] == [None] * len(records)
    assert len(records) == 2 * len(all_series())
    decoded = [each for each in records if each["section"].startswith("memory")]
    assert all(1 < each["facts"]["temporaries"] / each["facts"]["formula_bytes"] < 3 for each in decoded)
