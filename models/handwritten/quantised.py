"""Networks quantised by ONNX Runtime's own tools."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort
from model_files import Array, Exported, random_feeds

from handwritten.net import Samples
from handwritten.starts import plain_mlp, small_cnn, small_transformer, with_files


class Calibration:
    """A few random batches, in the form onnxruntime asks for."""

    def __init__(self, path: Path) -> None:
        """Draw inputs for the model at ``path``."""
        session: Any = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.feeds = iter([random_feeds(session, seed) for seed in range(4)])

    def get_next(self) -> dict[str, Array] | None:
        """Return one batch, then nothing."""
        return next(self.feeds, None)


def quantised(make: Callable[[], onnx.ModelProto], form: str, per_channel: bool) -> Exported:
    """Quantise statically to int8, as QDQ pairs or as QLinear operators."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    def change(before: Path, after: Path) -> None:
        quantize_static(
            before, after, Calibration(before), quant_format=QuantFormat[form],
            per_channel=per_channel, weight_type=QuantType.QInt8, activation_type=QuantType.QUInt8,
        )  # fmt: skip

    return with_files(make(), change)


def dynamically_quantised(make: Callable[[], onnx.ModelProto]) -> Exported:
    """Quantise weights to int8 and activations at run time."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    return with_files(make(), lambda a, b: quantize_dynamic(a, b, weight_type=QuantType.QUInt8))


def four_bits(form: str) -> Exported:
    """Quantise weights to blocks of four bits: MatMulNBits, or DequantizeLinear with blocks."""
    from onnxruntime.quantization import QuantFormat
    from onnxruntime.quantization.matmul_nbits_quantizer import (
        DefaultWeightOnlyQuantConfig,
        MatMulNBitsQuantizer,
    )

    config = DefaultWeightOnlyQuantConfig(
        block_size=32, is_symmetric=True, quant_format=QuantFormat[form]
    )
    quantizer = MatMulNBitsQuantizer(plain_mlp(), algo_config=config)
    quantizer.process()
    return Exported(quantizer.model.model)


def qdq_cnn() -> onnx.ModelProto:
    """The CNN with quantised weights per channel."""
    return quantised(small_cnn, "QDQ", True).model


SAMPLES: Samples = {
    "qdq_cnn": (partial(quantised, small_cnn, "QDQ", False), 0.71),
    "qdq_cnn_per_channel": (partial(quantised, small_cnn, "QDQ", True), 0.71),
    "qdq_transformer": (partial(quantised, small_transformer, "QDQ", False), 0.71),
    "qdq_transformer_per_channel": (partial(quantised, small_transformer, "QDQ", True), 0.71),
    "qlinear_cnn": (partial(quantised, small_cnn, "QOperator", False), 0.71),
    "qlinear_cnn_per_channel": (partial(quantised, small_cnn, "QOperator", True), 0.71),
    "qlinear_transformer": (partial(quantised, small_transformer, "QOperator", False), 0.71),
    "dynamic_cnn": (partial(dynamically_quantised, small_cnn), 0.71),
    "dynamic_transformer": (partial(dynamically_quantised, small_transformer), 0.71),
    "matmul_four_bits": (partial(four_bits, "QOperator"), 0.72),
    "matmul_four_bits_qdq": (partial(four_bits, "QDQ"), 0.72),
}
