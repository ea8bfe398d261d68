"""What is shown of a job while it runs."""

import io
import re
import threading

import pytest

import artifact_pipeline as api
from artifact_pipeline.cli import output
from artifact_pipeline.pipeline.record import Job


class Terminal(io.StringIO):
    """A stream that says when a line was drawn again."""

    def __init__(self, is_terminal):
        super().__init__()
        self.is_terminal, self.drawn = is_terminal, threading.Event()

    def isatty(self):
        return self.is_terminal

    def write(self, text):
        count = super().write(text)
        if re.search(r"running.* [0-9] s", text):
            self.drawn.set()
        return count


@pytest.fixture
def quick(monkeypatch):
    for name in ("NO_COLOR", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(output, "_QUIET_SECONDS", 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_running_job_is_shown_again_until_it_ends(quick, is_terminal):
    stream = Terminal(is_terminal)
    progress = output.Progress(stream)
    progress(Job(name="train", outcome="running"))
    progress(Job(name="train", outcome="running", note="fit 3 of 20, about 9 s left"))
    assert stream.drawn.wait(60)
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
        *(f"fit {done} of 6" for done in range(1, 7)),
        *(f"cross-validate {done} of 3" for done in range(3)),
    ]
    assert all("s left" in note for note in notes if note.startswith("fit"))
    assert not any(job.note.startswith("fit") for job in run.jobs)
