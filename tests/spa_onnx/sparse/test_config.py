"""Options that contradict themselves are told apart before any work."""

from typing import Any

import pytest

from spa_onnx import SparsifyConfig
from spa_onnx.errors import UnknownPassError, UsageError
from spa_onnx.sparse.passes import SparsePasses, allocation_of


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"sparsity": 0.0}, r"sparsity 0\.0 is not above 0 and below 1"),
        ({"sparsity": 1.0}, r"sparsity 1\.0 is not"),
        ({"sparsity": -0.5}, "is not above 0"),
        ({"sparsity": float("nan")}, "sparsity nan is not"),
        ({"pattern": "2:4", "sparsity": 0.7}, r"pattern 2:4 makes a sparsity of 0\.5, not 0\.7"),
        ({"pattern": "2:4", "allocation": "global"}, "leaves nothing to allocate"),
        ({"pattern": "some"}, "pattern 'some' is none of"),
        ({"weigh": "bytes"}, "neither parameters nor operations"),
        ({"target": "rocm"}, "target 'rocm' is neither cpu nor cuda"),
        ({"target": "cuda", "pattern": "4x1"}, "no kernel for GPUs has pattern 4x1"),
        ({"target": "cuda", "pattern": "unstructured", "sparsity": 1.5}, "is not above 0"),
        ({"samples": 0}, "samples 0 is not a positive number"),
    ],
)
def test_contradictions_are_usage_errors(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        SparsifyConfig(**options)


def test_a_pattern_may_say_the_sparsity() -> None:
    assert SparsifyConfig(pattern="1:4").share == 0.75
    assert SparsifyConfig(0.75, "1:4").share == 0.75
    assert SparsifyConfig().share == 0.5


def test_auto_chooses_from_patterns_that_the_target_has() -> None:
    on_cpu, on_gpu = SparsifyConfig(pattern="auto"), SparsifyConfig(pattern="auto", target="cuda")
    assert "4x1" in map(str, on_cpu.patterns)
    assert list(map(str, on_gpu.patterns)) == ["unstructured", "16x16", "32x32", "64x64", "2:4"]
    assert on_gpu.measures_speed
    assert not on_cpu.measures_speed
    assert not SparsifyConfig(pattern="2:4", target="cuda").measures_speed

    def speed(_layer: object, _pattern: object, _sparsity: float) -> float:
        return 0.5

    assert not SparsifyConfig(pattern="auto", target="cuda", speed=speed).measures_speed


def test_repair_chooses_the_allocation() -> None:
    assert allocation_of(SparsifyConfig()) == "rate-distortion"
    assert allocation_of(SparsifyConfig(repair=False)) == "uniform"
    assert allocation_of(SparsifyConfig(pattern="2:4")) == "uniform"
    assert allocation_of(SparsifyConfig(allocation="global")) == "global"


def test_unknown_passes_are_named() -> None:
    with pytest.raises(UnknownPassError, match=r"no sparsity pass named 'best'.*magnitude"):
        SparsePasses.of(SparsifyConfig(selection="best"))
    with pytest.raises(UnknownPassError, match="no allocation pass named 'best'"):
        SparsePasses.of(SparsifyConfig(allocation="best"))
