"""What is shown of a job while it runs."""

import io
import re
import threading

import pytest

import artifact_pipeline as api
from artifact_pipeline.cli import output
from artifact_pipeline.pipeline.record import Job
from tests.support.waiting import HANG


class Terminal(io.StringIO):
    """A stream that says when a line was drawn again."""

    def __init__(self, is_terminal):
        super().__init__()
        self.is_terminal, self.drawn = is_terminal, threading.Event()

    def isatty(self):
        return self.is_terminal

    def write(self, text):
        count = super().write(text)
        if re.search(r"running.* \d+ s", text):
            self.drawn.set()
        return count


@pytest.fixture
def terminal(monkeypatch):
    """The environment of a terminal with colours."""
    for name in ("NO_COLOR", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


@pytest.fixture
def quick(terminal, monkeypatch):
    """A line that is shown again at once."""
    monkeypatch.setattr(output, "_QUIET_SECONDS", 0.05)


class Clock:
    """The time of a line, which stands still until it is set forward."""

    def __init__(self):
        self.now = 0.0
        self._forward = threading.Condition()

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        end = self.now + seconds
        with self._forward:
            self._forward.wait_for(lambda: self.now >= end)

    def forward(self, seconds):
        with self._forward:
            self.now += seconds
            self._forward.notify_all()


@pytest.fixture
def clock(terminal, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(output, "time", clock)
    return clock


@pytest.mark.slow
@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_running_job_is_shown_again_until_it_ends(quick, is_terminal):
    stream = Terminal(is_terminal)
    progress = output.Progress(stream)
    progress(Job(name="train", outcome="running"))
    progress(Job(name="train", outcome="running", note="fit 3 of 20, about 9 s left"))
    assert stream.drawn.wait(HANG)
    progress(Job(name="train", outcome="done", seconds=1.5))
    text = stream.getvalue()
    assert "fit 3 of 20, about 9 s left" in text
    assert text.count("\n") == 1 if is_terminal else "\x1b" not in text
    assert text.rstrip().endswith("1.50 s")


def test_a_short_job_has_one_line_in_a_pipe():
    stream = Terminal(False)
    progress = output.Progress(stream)
    progress(Job(name="test", outcome="running"))
    progress(Job(name="test", outcome="done", seconds=0.2, note="iris"))
    assert stream.getvalue() == "  test       done      0.20 s  iris\n"


@pytest.mark.slow
def test_the_fits_of_a_search_and_of_a_cross_validation_are_counted(tmp_path):
    jobs = []
    config = {
        "data": {"dataset": "iris"},
        "model": {"estimator": "sklearn.naive_bayes.GaussianNB"},
        "search": {"params": {"var_smoothing": [1e-9, 1e-3, 1e-1]}, "cv": 2},
        "evaluation": {"cv": 3},
    }
    run = api.train(config, store=tmp_path, listener=jobs.append)
    notes = [job.note for job in jobs if job.outcome == "running"]
    counts = [note.partition(",")[0] for note in notes if note]
    assert counts == [
        "fit",
        *(f"fit {done} of 6" for done in range(1, 7)),
        *(f"cross-validate {done} of 3" for done in range(3)),
        "measure",
        "prove",
    ]
    assert all("s left" in note for note in notes if note.startswith("fit "))
    assert not any(job.note.startswith("fit") for job in run.jobs)


def test_the_parts_and_columns_of_a_table_are_counted_while_it_is_read(tmp_path):
    (tmp_path / "parts").mkdir()
    for part in range(3):
        rows = "".join(f"{row},{row % 7},{row % 2 > 0}\n" for row in range(40))
        (tmp_path / "parts" / f"{part}.csv").write_text("a,b,y\n" + rows)
    config = {
        "data": {"path": str(tmp_path / "parts"), "target": "y"},
        "model": {"estimator": "sklearn.naive_bayes.GaussianNB"},
    }
    jobs = []
    api.train(config, store=tmp_path / "store", listener=jobs.append)
    notes = [job.note.partition(", about")[0] for job in jobs if job.outcome == "running"]
    assert notes[:6] == [
        *("parse 0 of 1 MB" for _ in range(3)),
        *(f"convert {done} of 3 columns of 120 rows" for done in range(3)),
    ]
    assert {job.name for job in jobs} == {"train"}


def test_a_table_that_cannot_be_read_ends_the_line_of_the_job_that_read_it(tmp_path):
    (tmp_path / "table.csv").write_text("a,y\n1,x\n2\n")
    config = {
        "data": {"path": str(tmp_path / "table.csv"), "target": "y"},
        "model": {"estimator": "sklearn.naive_bayes.GaussianNB"},
    }
    jobs = []
    with pytest.raises(api.DataError):
        api.train(config, store=tmp_path / "store", listener=jobs.append)
    assert [job.outcome for job in jobs][-1] == "failed"
    assert "running" in {job.outcome for job in jobs}


def test_a_late_line_is_removed_when_its_work_ends(clock):
    stream = Terminal(True)
    line = output.LiveLine(stream)
    line.begin("infer", late=True)
    line.change("predict 3 of 9 parts")
    assert "running" not in stream.getvalue()
    clock.forward(1.0)
    assert stream.drawn.wait(HANG)
    line.end()
    assert "predict 3 of 9 parts" in stream.getvalue()
    assert stream.getvalue().endswith("\r\x1b[K")


def test_short_work_prints_no_line(clock):
    for is_terminal in (True, False):
        stream = Terminal(is_terminal)
        line = output.LiveLine(stream)
        line.begin("infer", late=True)
        line.end()
        assert stream.getvalue() == ""


def test_a_running_line_fits_a_narrow_terminal(quick, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    stream = Terminal(True)
    progress = output.Progress(stream)
    progress(Job(name="train", outcome="running", note="fit 3 of 20, about 9 s left" * 3))
    assert stream.drawn.wait(HANG)
    lines = re.sub(r"\x1b\[\d*[mK]", "", stream.getvalue()).split("\r")
    assert "\n" not in stream.getvalue()
    assert max(map(len, lines)) < 60
