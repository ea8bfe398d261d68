"""Tables that do not fit into memory are refused before they are read."""

import gzip
import json
import signal
import zipfile
from pathlib import Path

import pytest

import artifact_pipeline as api
from artifact_pipeline.builder.data import memory
from artifact_pipeline.builder.training import trainer
from artifact_pipeline.errors import EnvironmentFailure
from tests.support import memory_limit
from tests.support.command import script

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


@pytest.mark.parametrize(
    ("line", "group", "files"),
    [
        ("0::/outer/inner", "outer", ("memory.max", "memory.current", "inactive_file")),
        ("0::/outer/inner", "outer/inner", ("memory.max", "memory.current", "active_file")),
        (
            "4:memory:/outer/inner",
            "memory/outer/inner",
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ),
    ],
)
def test_the_group_of_the_process_counts_without_the_files_that_it_caches(
    tmp_path, line, group, files
):
    (tmp_path / "meminfo").write_text(f"MemAvailable: {3 << 20} kB\n")
    (tmp_path / "cgroup").write_text(f"9:cpu:/x\n{line}\n")
    limit, usage, cached = files
    (tmp_path / group).mkdir(parents=True)
    (tmp_path / group / limit).write_text(f"{2 * GIB}\n")
    (tmp_path / group / usage).write_text(f"{2 * GIB - 100}\n")
    (tmp_path / group / "memory.stat").write_text(f"anon 7\n{cached} {GIB}\n")
    free = memory.available(tmp_path / "meminfo", cgroup=tmp_path, process=tmp_path)
    assert free == GIB + 100


@pytest.mark.slow
@pytest.mark.skipif(not memory_limit.is_possible(), reason="needs root and control groups")
def test_a_table_beyond_the_limit_of_the_group_is_refused(tmp_path):
    with (tmp_path / "t.csv").open("wb") as file:
        file.write(b"a,y\n1,2\n")
        file.truncate(GIB)
    config = {"data": {"path": "t.csv", "target": "y"},
              "model": {"estimator": "sklearn.linear_model.Ridge"}}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    with memory_limit.limited(GIB) as group:
        code = f"open({str(group)!r}, 'w').write('0')\n" + RUN
        done = script("-c", code, "run", "config.json", cwd=tmp_path)
    assert done.code == 5 and "t.csv: has 1.0 GiB, which takes at least 3.0 GiB" in done.err
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_AS, (2 * {GIB},) * 2)\n"
    done = script("-c", limit + RUN, "run", "config.json", cwd=tmp_path)
    assert done.code == 5 and "t.csv: has 1.0 GiB, which takes at least 3.0 GiB" in done.err


RUN = "import sys; from artifact_pipeline.cli import main; main(sys.argv[1:])"


def test_a_packed_table_takes_the_memory_of_its_content(tmp_path):
    data = b"1,2\n" * 500_000
    with gzip.open(tmp_path / "t.csv.gz", "wb") as file:
        file.write(data)
    with zipfile.ZipFile(tmp_path / "t.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("t.csv", data)
    for name in ("t.csv.gz", "t.zip"):
        assert memory._size(tmp_path / name) == len(data)
    (tmp_path / "no.csv.gz").write_bytes(data)
    assert memory._size(tmp_path / "no.csv.gz") == len(data)
    (tmp_path / "no.zip").write_bytes(data)
    assert memory._size(tmp_path / "no.zip") == len(data)


def test_a_trainer_that_is_killed_for_memory_names_the_memory():
    error = trainer._died(-signal.SIGKILL, killed=True)
    assert "was killed because memory ran out; it used " in error.problem
    assert "take a sample of the rows" in error.remedy
    other = trainer._died(-signal.SIGKILL, killed=False)
    assert other.problem.startswith("ended by signal 9 without a result; it used ")
