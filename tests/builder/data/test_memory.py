"""Tables that do not fit into memory are refused before they are read."""

import signal
from pathlib import Path

import pytest

import artifact_pipeline as api
from artifact_pipeline.builder.data import memory
from artifact_pipeline.builder.training import trainer
from artifact_pipeline.errors import EnvironmentFailure

GIB = 2**30


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="memory is known on Linux only")
def test_a_table_beyond_the_free_memory_is_refused_with_both_sizes(tmp_path):
    with (tmp_path / "t.csv").open("wb") as file:
        file.write(b"a,y\n1,2\n")
        file.truncate(1 << 40)  # a sparse file: reading it would take minutes
    config = {"data": {"path": str(tmp_path / "t.csv"), "target": "y"},
              "model": {"estimator": "sklearn.linear_model.Ridge"}}  # fmt: skip
    with pytest.raises(EnvironmentFailure) as caught:
        api.run(config, store=tmp_path / "store")
    assert caught.value.exit_code == 5
    message = str(caught.value)
    assert "t.csv: has 1024.0 GiB, which takes at least 3072.0 GiB of memory" in message
    assert "is free; take a sample of its rows" in message


@pytest.mark.parametrize(
    ("limit", "usage", "free"),
    [("max", "5", 3 * GIB), (f"{2 * GIB}", f"{GIB}", GIB), (f"{GIB}", f"{2 * GIB}", 0)],
)
def test_the_limit_of_a_container_counts(tmp_path, limit, usage, free):
    (tmp_path / "meminfo").write_text(
        f"MemTotal: {9 << 20} kB\nMemAvailable: {2 << 20} kB\nSwapFree: {1 << 20} kB\n"
    )
    (tmp_path / "memory.max").write_text(limit)
    (tmp_path / "memory.current").write_text(usage)
    assert memory.available(tmp_path / "meminfo", cgroup=tmp_path) == free


def test_a_trainer_that_is_killed_for_memory_names_the_memory():
    error = trainer._died(-signal.SIGKILL, killed=True)
    assert "was killed because memory ran out; it used " in error.problem
    assert "take a sample of the rows" in error.remedy
    other = trainer._died(-signal.SIGKILL, killed=False)
    assert other.problem.startswith("ended by signal 9 without a result; it used ")
