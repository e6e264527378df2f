"""The grid of a sweep and its table."""

from __future__ import annotations

from hrm_codegen.evaluator import EvalResult
from hrm_codegen.evaluator.sweep import Cell, best_cells, grid, render_sweep


def make_result(temperature, top_p=None, **scores):
    values = {name.replace("pass", "pass@"): value for name, value in scores.items()}
    ends = {f"{name}{end}": value for name, value in values.items() for end in ("_low", "_high")}
    return EvalResult(
        metrics=values | ends,
        samples=(),
        dataset={},
        model={},
        sandbox={},
        settings={"k": [int(name[5:]) for name in values], "temperature": temperature, "top_p": top_p},
    )


def test_a_grid_has_every_pair_once_in_rising_order():
    assert grid([1.0, 0.2, 1.0], [0.9, 1.0]) == [Cell(0.2, 0.9), Cell(0.2, 1.0), Cell(1.0, 0.9), Cell(1.0, 1.0)]
    assert grid([0.5, 0.1], []) == [Cell(0.1, None), Cell(0.5, None)]
    assert grid([], []) == [Cell()]


def test_a_cell_has_a_readable_folder_of_its_own():
    assert [cell.folder for cell in grid([0.2, 1], [0.95])] == ["t0.2-p0.95", "t1.0-p0.95"]
    assert Cell(0.123456789).folder == "t0.123456789"
    assert Cell(None, 0.9).folder == "p0.9"


def test_each_k_has_its_best_cell_and_equals_go_to_the_coolest():
    results = [
        make_result(0.0, pass1=0.5, pass10=0.5),
        make_result(0.6, pass1=0.5),
        make_result(1.0, pass1=0.4, pass10=0.8),
    ]
    assert best_cells(results) == {1: 0, 10: 2}


def test_the_table_marks_the_best_of_each_k():
    lines = render_sweep(
        [make_result(0.0, pass1=0.5, pass10=0.5), make_result(1.0, pass1=0.25, pass10=0.75)]
    ).splitlines()
    assert lines[0].split() == ["temperature", "top_p", "pass@1", "pass@10"]
    assert lines[2].split() == ["0", "-", "*", "50.0", "%", "[50.0,", "50.0]", "50.0", "%", "[50.0,", "50.0]"]
    assert lines[3].split()[:4] == ["1", "-", "25.0", "%"]
    assert lines[3].count("*") == 1
    assert lines[-1] == "* best temperature: pass@1: 0, pass@10: 1"


def test_the_best_are_named_with_top_p_where_it_varies():
    results = [make_result(0.2, 0.9, pass1=0.5), make_result(0.2, 1.0, pass1=0.6)]
    assert render_sweep(results).splitlines()[-1] == "* best temperature: pass@1: 0.2 with top_p 1"
