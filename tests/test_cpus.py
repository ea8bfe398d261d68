"""Another CPU makes the same bytes; one that cannot says under which profile it made its own."""

import json

import pytest
from benchmarks.trust import cpus

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not cpus.available(), reason="needs an x86-64 machine and qemu-user"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("cpus")


@pytest.fixture(scope="module")
def older(place):
    return cpus.native("x86-64-v2", place)


@pytest.mark.parametrize("cpu", cpus.CPUS["x86-64-v3"])
def test_every_cpu_with_avx2_makes_the_same_bytes(cpu, place, digits):
    made = cpus.emulated(cpu, place)
    assert "AVX2" in made.features and "X86_V4" not in made.features
    assert (made.profile, made.digest) == ("x86-64-v3", digits.digest)


@pytest.mark.parametrize("cpu", cpus.CPUS["x86-64-v2"])
def test_a_cpu_without_avx2_makes_the_bytes_of_the_profile_below(cpu, place, older):
    made = cpus.emulated(cpu, place)
    assert "AVX2" not in made.features
    assert (made.profile, made.digest) == ("x86-64-v2", older.digest)


def test_reproduce_names_the_profile_when_the_cpu_cannot_hold_it(tmp_path, digits):
    """The fit stops a little elsewhere, so probabilities differ, but no label does."""
    python = cpus.interpreter("Nehalem", tmp_path)
    words = ("-m", "artifact_pipeline", "reproduce", str(digits.folder), "--json")
    found = json.loads(cpus.call(python, tmp_path, *words, accepted=(0, 1)))
    assert found["digest"] == digits.digest
    assert found["labels"] == 0 and 0 < found["apart"] < 0.05
    assert "numerics profile: x86-64-v3 then, x86-64-v2 now" in found["suspects"]
