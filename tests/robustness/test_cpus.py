"""Reproducibility on emulated CPUs."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.robustness import cpus

AVX2, OLDER = cpus.CPUS["x86-64-v3"], "SandyBridge"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not cpus.available(), reason="needs an x86-64 machine and qemu-user"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory, digits):
    """What each CPU makes, and how one reproduces the digits artifact: emulated two at a time."""
    place = tmp_path_factory.mktemp("cpus")

    def again():
        python = cpus.interpreter("Nehalem", tmp_path_factory.mktemp("again"))
        words = ("-m", "artifact_pipeline", "reproduce", str(digits.folder), "--json")
        return json.loads(cpus.call(python, python.parents[2], *words, accepted=(0, 1)))

    def with_avx2():
        """One CPU is enough; as some, in some sessions, the emulator crashes each time."""
        for cpu in AVX2:
            try:
                return cpus.emulated(cpu, place)
            except cpus.EmulatorCrashed as crash:
                print(f"as {cpu} the emulator crashed: {crash}")
        raise AssertionError(f"the emulator crashed as {', '.join(AVX2)}")

    with ThreadPoolExecutor(2) as pool:
        found = {"avx2": pool.submit(with_avx2), "v2": pool.submit(cpus.emulated, OLDER, place)}
        found["again"] = pool.submit(again)
        found["older"] = pool.submit(cpus.native, "x86-64-v2", place)
    return found


def test_a_cpu_with_avx2_makes_the_same_bytes(made, digits):
    found = made["avx2"].result()
    assert "AVX2" in found.features and "X86_V4" not in found.features
    assert (found.profile, found.digest) == ("x86-64-v3", digits.digest)


def test_a_cpu_without_avx2_makes_the_bytes_of_the_profile_below(made):
    found = made["v2"].result()
    assert "AVX2" not in found.features
    assert (found.profile, found.digest) == ("x86-64-v2", made["older"].result().digest)


def test_reproduce_names_the_profile_when_the_cpu_cannot_hold_it(made, digits):
    """The fit stops a little elsewhere, so probabilities differ, but no label does."""
    found = made["again"].result()
    assert found["digest"] == digits.digest
    assert found["labels"] == 0 and 0 < found["apart"] < 0.05
    assert "numerics profile: x86-64-v3 then, x86-64-v2 now" in found["suspects"]
