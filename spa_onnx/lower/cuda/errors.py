"""What can be missing where a model is lowered for CUDA."""

from __future__ import annotations

from spa_onnx.errors import ModelError, SpaError

FORCE = "or add --force to lower what can be without measuring it"


class NoGpuError(SpaError):
    """There is no GPU that kernels run on."""

    def __init__(self, problem: str) -> None:
        self.problem = problem.strip()
        super().__init__(
            f"no layer can be measured: {self.problem}. Lower the model on a machine with an "
            f"NVIDIA GPU, {FORCE}"
        )


class NoProviderError(SpaError):
    """ONNX Runtime has no CUDA provider."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(
            f"{problem}, so no model can be run on the GPU. Have onnxruntime-gpu in place of "
            "onnxruntime (`pip uninstall onnxruntime`, then `pip install onnxruntime-gpu`), with "
            f"the CUDA and cuDNN that it needs, {FORCE}"
        )


class Float32ModelError(ModelError):
    """All weights that could be lowered are float32, which tensor cores do not multiply."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path}: its weights are float32, and kernels for CUDA compute in float16 and "
            "bfloat16. Add --precision float16, or give a model of one of these types"
        )


class ConversionError(ModelError):
    """A model cannot be made one of float16."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(
            f"{path}: ONNX Runtime's converter cannot make a float16 model of it: "
            f"{problem.strip()}. Export it as float16, and lower that without --precision"
        )


class RangeError(ModelError):
    """A model of 16 bits computes numbers that its type does not hold."""

    def __init__(self, path: str, output: str, kind: str) -> None:
        super().__init__(
            f"{path}: as {kind} the dense model itself makes output {output!r} infinite or no "
            "number where float32 does not, on the inputs that were made up. Lower a model of "
            "bfloat16, or one that keeps the nodes that overflow in float32"
        )
