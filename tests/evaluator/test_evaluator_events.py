"""Events and progress: the numbers, the lines, and files that go away."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest

from hrm_codegen.errors import UsageError
from hrm_codegen.evaluator import ProgramResult, SampleResult, Verdict
from hrm_codegen.evaluator.events import Emitter, EventFile, Meter
from hrm_codegen.evaluator.progress import LogProgress, duration, moving_line, progress_text


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def sample(number=0, verdict=Verdict.PASSED):
    result = ProgramResult(verdict=verdict, message="\ud800")
    return SampleResult(task_id="a/1", sample=number, result=result, completion="")


def test_the_rate_is_of_this_run_and_of_the_last_half_minute():
    meter = Meter(total=1000, done=400, now=0.0)
    assert meter.reading(0.0) == {"done": 400, "total": 1000, "rate": None, "eta_seconds": None}
    for second in range(1, 11):
        meter.count(float(second))
    assert meter.reading(10.0) == {"done": 410, "total": 1000, "rate": 1.0, "eta_seconds": 590.0}
    for tenth in range(1, 601):  # ten times as fast for a minute
        if meter.done < 1000:
            meter.count(10.0 + tenth / 10)
    assert meter.reading(meter._marks[-1][0])["rate"] == pytest.approx(10.0, rel=0.02)
    assert meter.reading(meter._marks[-1][0])["eta_seconds"] == 0.0


def test_events_come_in_order_and_progress_once_a_second():
    events, clock = [], Clock()
    emitter = Emitter(events.append, clock)
    emitter.started(total=5, done=2, tier="A")
    for number in range(3):
        clock.now += 0.6
        emitter.judged(sample(number), cached=number == 2)
    emitter.confirmed("a/1", 0, ProgramResult(verdict=Verdict.TIMEOUT_CPU), ProgramResult(verdict=Verdict.PASSED))
    emitter.finished({"pass@1": 0.5})
    names = [event["event"] for event in events]
    assert names == [
        "run_started", "sample_judged", "sample_judged", "progress", "sample_judged", "progress", "timeout_confirmed",
        "run_finished",
    ]  # fmt: skip
    assert [(e["done"], e["total"]) for e in events if e["event"] == "progress"] == [(4, 5), (5, 5)]
    assert events[3]["rate"] == pytest.approx(2 / 1.2, abs=0.01)
    assert [e["cached"] for e in events if e["event"] == "sample_judged"] == [False, False, True]
    assert events[-2]["first"] == "timeout_cpu"
    assert events[-1]["seconds"] == 1.8
    assert all(event["ts"].endswith("Z") for event in events)


def test_a_failure_is_an_event():
    events = []
    Emitter(events.append).failed(UsageError("no"))
    assert events[0]["error"] == "UsageError: no"


def test_without_a_listener_nothing_is_told():
    Emitter(None).judged(sample(), cached=False)


def test_a_line_is_there_as_soon_as_it_is_written(tmp_path):
    path = tmp_path / "e.jsonl"
    path.write_text('{"event": "of yesterday"}\n')
    with EventFile(str(path)) as file:
        Emitter(file).judged(sample(), cached=False)
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["event"] for row in rows] == ["of yesterday", "sample_judged"]
    assert rows[1]["message"] == "\ud800"


def test_a_reader_that_goes_away_is_one_warning(caplog, tmp_path):
    with EventFile(str(tmp_path / "e")) as file:
        file._file.close()
        file({"event": "a"})
        file({"event": "b"})
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "no more events" in caplog.text


def test_stderr_is_not_closed(capsys):
    with EventFile("-") as file:
        file({"event": "a"})
    print("still there", file=sys.stderr)
    assert capsys.readouterr().err == '{"event": "a"}\nstill there\n'


def test_no_file_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="cannot write events"), EventFile(str(tmp_path)):
        pass


def reading(done, rate=2.0, eta=43.2):
    return {"event": "progress", "done": done, "total": 100, "rate": rate, "eta_seconds": eta}


def test_the_log_has_a_line_every_ten_seconds(caplog):
    caplog.set_level(logging.INFO)
    clock = Clock()
    listen = LogProgress(clock)
    listen({"event": "run_started"})
    for second in range(25):
        clock.now += 1
        listen(reading(second))
        listen({"event": "sample_judged"})
    assert [record.getMessage() for record in caplog.records] == [
        "9 of 100 samples judged, 2.0/s, 0:43 left",
        "19 of 100 samples judged, 2.0/s, 0:43 left",
    ]
    assert vars(caplog.records[0])["eta_seconds"] == 43.2


def test_texts():
    assert progress_text(reading(3, None, None)) == "3 of 100 samples judged"
    assert [duration(seconds) for seconds in (0.0, 59.6, 3723.0)] == ["0:00", "1:00", "1:02:03"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_moving_line_shows_the_numbers_and_is_gone_in_the_end(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with moving_line() as listen:
        listen({"event": "run_started", "total": 100, "done": 7})
        listen(reading(9))
        print("a warning above", file=sys.stderr)
        listen({"event": "run_finished"})
        listen({"event": "run_started", "total": 5, "done": 0})
        listen({"event": "run_failed"})
        listen({"event": "run_failed"})
    text = screen.getvalue()
    assert "7 of 100 samples judged" in text
    assert "0 of 5 samples judged" in text
    assert "a warning above" in text
    assert text.rstrip("\r").endswith("\x1b[2K")  # the line is erased
