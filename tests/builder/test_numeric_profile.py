"""The numeric profile: its choice, its pins, and whether it is in force."""

import os
import subprocess
import sys

import msgspec
import pytest

from artifact_pipeline.builder import numeric_profile
from artifact_pipeline.builder.numeric_profile import Inspection
from tests.support.command import call
from tests.support.configs import QUICK, ROOT, write

OPENBLAS = {"internal_api": "openblas", "architecture": "Haswell", "num_threads": 1}
V3 = ["AVX2", "FMA3", "SSE42"]


def seen(**changes):
    values = {"machine": "x86_64", "features": V3, "blas": [OPENBLAS], "openmp_threads": [1]}
    return msgspec.convert({**values, **changes}, Inspection)


@pytest.mark.parametrize(
    ("found", "profile"),
    [
        (seen(), "x86-64-v3"),
        (seen(features=[*V3, "X86_V4"]), "x86-64-v3"),
        (seen(features=["SSE42"]), "x86-64-v2"),
        (seen(features=[]), "native"),
        (seen(machine="arm64", features=["ASIMD"]), "arm64"),
        (seen(machine="ppc64le"), "native"),
        (seen(blas=[{**OPENBLAS, "internal_api": "mkl"}]), "native"),
        (seen(blas=[]), "native"),
    ],
)
def test_a_machine_gets_the_best_profile_that_it_supports(found, profile):
    assert numeric_profile.select_profile(found) == profile


@pytest.mark.parametrize(
    ("found", "holds"),
    [
        (seen(), True),
        (seen(features=[*V3, "X86_V4"]), False),
        (seen(features=["SSE42"]), False),
        (seen(blas=[{**OPENBLAS, "architecture": "SkylakeX"}]), False),
        (seen(blas=[OPENBLAS, {**OPENBLAS, "num_threads": 2}]), False),
        (seen(blas=[]), False),
        (seen(openmp_threads=[1, 2]), False),
        (seen(machine="arm64"), False),
    ],
)
def test_a_profile_is_in_force_only_if_every_pin_is_observed(found, holds):
    assert numeric_profile.in_force("x86-64-v3", found) is holds


def test_the_native_profile_is_never_in_force():
    assert not numeric_profile.in_force("native", seen())


@pytest.mark.slow
def test_this_machine_holds_the_profile_that_it_names():
    profile = numeric_profile.detect_profile()
    outer = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "7"}
    done = subprocess.run(
        [sys.executable, "-c", "import msgspec, sklearn.linear_model;"
         "from artifact_pipeline.builder.numeric_profile import inspect_process;"
         "print(msgspec.json.encode(inspect_process()).decode())"],
        env=numeric_profile.environment(profile, outer), capture_output=True, check=True,
    )  # fmt: skip
    found = msgspec.json.decode(done.stdout, type=Inspection)
    assert profile == "native" or numeric_profile.in_force(profile, found)
    assert len(found.blas) >= 1


def test_thread_variables_of_the_user_do_not_reach_the_trainer():
    outer = {
        "OPENBLAS_CORETYPE": "Zen",
        "NPY_DISABLE_CPU_FEATURES": "AVX2",
        "PYTHONHASHSEED": "7",
        "PYTHONOPTIMIZE": "2",
        "SKLEARN_ASSUME_FINITE": "1",
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2",
        "PATH": "/bin",
    }
    inner = numeric_profile.environment("x86-64-v3", outer)
    assert inner["OPENBLAS_CORETYPE"] == "Haswell"
    assert "AVX2" not in inner["NPY_DISABLE_CPU_FEATURES"].split()
    assert inner["PYTHONHASHSEED"] == "0"
    assert "PYTHONOPTIMIZE" not in inner and "SKLEARN_ASSUME_FINITE" not in inner
    assert inner["PATH"] == "/bin"
    assert "GLIBC_TUNABLES" not in inner
    below = numeric_profile.environment("x86-64-v2", outer)
    assert below["GLIBC_TUNABLES"] == "glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4"


@pytest.mark.slow
def test_the_run_record_holds_the_observed_libraries(project):
    assert call("train", write(project, QUICK), cwd=project).code == 0
    record = call("list", "--json", cwd=project).json["runs"][0]
    assert record["observed"]["blas"][0]["num_threads"] == 1
    assert record["recipe"]["numerics"]["profile"] in (*numeric_profile.PROFILES, "native")
