"""Reproducibility on emulated CPUs."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.robustness import cpus

# `python -m tests.robustness` emulates each of `cpus.CPUS`. As EPYC-Rome the emulator itself
# crashes (signal 11), in some sessions each time; as Haswell it was not seen to.
AVX2, OLDER = ("Haswell",), "SandyBridge"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not cpus.available(), reason="needs an x86-64 machine and qemu-user"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory, digits):
    """What each CPU makes, and what one says of the digits artifact: emulated two at a time."""
    place = tmp_path_factory.mktemp("cpus")

    def again():
        python = cpus.interpreter("Nehalem", tmp_path_factory.mktemp("again"))
        words = ("-m", "artifact_pipeline", "reproduce", str(digits.folder), "--json")
        return json.loads(cpus.call(python, python.parents[2], *words, accepted=(0, 1)))

    with ThreadPoolExecutor(2) as pool:
        found = {cpu: pool.submit(cpus.emulated, cpu, place) for cpu in (*AVX2, OLDER)}
        found["again"] = pool.submit(again)
        found["older"] = pool.submit(cpus.native, "x86-64-v2", place)
    return found


@pytest.mark.parametrize("cpu", AVX2)
def test_every_cpu_with_avx2_makes_the_same_bytes(cpu, made, digits):
    found = made[cpu].result()
    assert "AVX2" in found.features and "X86_V4" not in found.features
    assert (found.profile, found.digest) == ("x86-64-v3", digits.digest)


def test_a_cpu_without_avx2_makes_the_bytes_of_the_profile_below(made):
    found = made[OLDER].result()
    assert "AVX2" not in found.features
    assert (found.profile, found.digest) == ("x86-64-v2", made["older"].result().digest)


def test_reproduce_names_the_profile_when_the_cpu_cannot_hold_it(made, digits):
    """The fit stops a little elsewhere, so probabilities differ, but no label does."""
    found = made["again"].result()
    assert found["digest"] == digits.digest
    assert found["labels"] == 0 and 0 < found["apart"] < 0.05
    assert "numerics profile: x86-64-v3 then, x86-64-v2 now" in found["suspects"]
