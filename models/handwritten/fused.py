"""Networks optimised by ONNX Runtime, its fused operators, and ONNX's newest ones."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from model_files import Exported

from handwritten.net import MICROSOFT, Net, Samples, head
from handwritten.quantised import qdq_cnn
from handwritten.starts import small_cnn, small_transformer, with_files


def quantised_attention() -> Exported:
    """Fused Attention, then dynamic quantisation: QAttention."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    fused = transformer_optimised().model
    return with_files(fused, lambda a, b: quantize_dynamic(a, b, weight_type=QuantType.QUInt8))


def runtime_optimised(make: Callable[[], onnx.ModelProto], level: str = "EXTENDED") -> Exported:
    """Save what onnxruntime's own graph optimiser makes of a model.

    Level ALL would write layouts of the machine at hand.
    """

    def change(before: Path, after: Path) -> None:
        options = ort.SessionOptions()
        options.graph_optimization_level = getattr(
            ort.GraphOptimizationLevel, f"ORT_ENABLE_{level}"
        )
        options.optimized_model_filepath = str(after)
        options.log_severity_level = 3
        ort.InferenceSession(before, options, providers=["CPUExecutionProvider"])

    return with_files(make(), change)


def transformer_optimised(words: bool = True) -> Exported:
    """Run onnxruntime.transformers' optimizer: Attention, SkipLayerNormalization, BiasGelu."""
    from onnxruntime.transformers.optimizer import optimize_model

    return with_files(
        small_transformer(words),
        lambda a, b: optimize_model(
            str(a), "bert", num_heads=4, hidden_size=32, opt_level=0
        ).save_model_to_file(str(b)),
    )


def fused_attention(kind: str) -> Exported:
    """MultiHeadAttention or GroupQueryAttention of com.microsoft between projections."""
    net = Net()
    width, heads, kept, size, steps = 32, 4, 2, 8, 6
    x = net.input("x", [1, steps, width])
    q = net.dense(x, width, heads * size, None)
    if kind == "MultiHeadAttention":
        k, v = (net.dense(x, width, heads * size, None) for _ in range(2))
        y = net.op(kind, q, k, v, domain=MICROSOFT, num_heads=heads)
    else:
        k, v = (net.dense(x, width, kept * size, None) for _ in range(2))
        past = [net.input(f"past_{s}", [1, kept, 4, size]) for s in ("key", "value")]
        total = net.constant(np.array(steps + 4, np.int32))
        lengths = net.constant(np.full(1, steps + 3, np.int32))
        y, key, value = net.ops(
            kind, 3, q, k, v, *past, lengths, total, domain=MICROSOFT, num_heads=heads,
            kv_num_heads=kept,
        )  # fmt: skip
        for present in (key, value):
            net.output(present, [1, kept, None, size])
    x = net.op("Add", x, net.dense(y, heads * size, width, None))
    hidden = net.dense(net.norm(x, width), width, 96)
    x = net.op("Add", x, net.dense(hidden, 96, width, None))
    return head(net, net.op("ReduceMean", x, net.ints(1), keepdims=0), width)


def skip_norms() -> Exported:
    """SkipLayerNormalization and its simplified form, FastGelu, BiasGelu, QuickGelu."""
    net = Net()
    x = net.input("x", ["N", 6, 32])
    skip = net.dense(x, 32, 32, None)
    for kind in ("SkipLayerNormalization", "SkipSimplifiedLayerNormalization"):
        scale = net.vector(32, 0.5, 1.5)
        more = [net.vector(32)] if kind == "SkipLayerNormalization" else []
        x = net.op(kind, x, skip, scale, *more, domain=MICROSOFT)
        y = net.op("MatMul", x, net.weight(32, 80))
        y = net.op("BiasGelu", y, net.vector(80), domain=MICROSOFT)
        y = net.op("FastGelu", net.op("MatMul", y, net.weight(80, 64)), net.vector(64),
                   domain=MICROSOFT)  # fmt: skip
        skip = net.op("QuickGelu", net.dense(y, 64, 32, None), domain=MICROSOFT)
    return head(net, net.op("ReduceMean", net.op("Add", x, skip), net.ints(1), keepdims=0), 32)


def fused_products() -> Exported:
    """FusedMatMul, FusedGemm and FusedConv of com.microsoft."""
    net = Net()
    x = net.input("x", ["N", 3, 12, 12])
    weight = net.weight(24, 3, 3, 3, fan=27)
    x = net.op("FusedConv", x, weight, net.vector(24), domain=MICROSOFT, activation="Relu",
               pads=[1] * 4)  # fmt: skip
    weight = net.weight(24, 24, 3, 3, fan=216)
    x = net.op("FusedConv", x, weight, net.vector(24), x, domain=MICROSOFT, activation="Relu",
               pads=[1] * 4)  # fmt: skip
    x = net.op("Flatten", net.op("GlobalAveragePool", x))
    x = net.op("FusedGemm", x, net.weight(40, 24, fan=24), net.vector(40), domain=MICROSOFT,
               activation="LeakyRelu", activation_alpha=0.1, transB=1)  # fmt: skip
    x = net.op("FusedMatMul", x, net.weight(48, 40, fan=40), domain=MICROSOFT, transB=1, alpha=0.5)
    return head(net, x, 48)


def standard_attention(opset: int, grouped: bool, four_axes: bool) -> Exported:
    """Attention with RotaryEmbedding and RMSNormalization, gated feed-forward."""
    net = Net(opset=opset)
    width, heads, size, steps = 32, 4, 8, 6
    kept = 2 if grouped else heads
    x = net.input("x", ["N", steps, width])
    y = net.op("RMSNormalization", x, net.vector(width, 0.5, 1.5), axis=-1)
    parts = [net.dense(y, width, count * size, None) for count in (heads, kept, kept)]
    angles = np.outer(np.arange(steps), 1.0 / 10.0 ** np.arange(size // 2))
    tables = [net.constant(np.cos(angles)[None]), net.constant(np.sin(angles)[None])]
    if four_axes:
        counts = (heads, kept, kept)
        parts = [
            net.op(
                "Transpose",
                net.op("Reshape", part, net.ints(0, steps, count, size)), perm=[0, 2, 1, 3],
            )
            for part, count in zip(parts, counts, strict=True)
        ]  # fmt: skip
        y = net.op("Attention", *parts, is_causal=1)
        y = net.op("Reshape", net.op("Transpose", y, perm=[0, 2, 1, 3]), net.ints(0, steps, width))
    else:
        tables = [net.op("Expand", t, net.op("Concat", net.op("Shape", x, end=1), net.ints(1, 1),
                  axis=0)) for t in tables]  # fmt: skip
        for k, count in enumerate((heads, kept)):
            parts[k] = net.op("RotaryEmbedding", parts[k], *tables, num_heads=count)
        y = net.op("Attention", *parts, q_num_heads=heads, kv_num_heads=kept)
    x = net.op("Add", x, net.dense(y, width, width, None))
    y = net.op("RMSNormalization", x, net.vector(width, 0.5, 1.5), axis=-1)
    gate = net.dense(y, width, 80, "Swish" if opset >= 24 else "Sigmoid")
    y = net.op("Mul", gate, net.dense(y, width, 80, None))
    x = net.op("Add", x, net.dense(y, 80, width, None))
    return head(net, net.op("ReduceMean", x, net.ints(1), keepdims=0), width)


def attention_with_cache() -> Exported:
    """Attention of opset 23 with past and present keys and values."""
    net = Net(opset=23)
    width, heads, size, steps = 32, 4, 8, 3
    x = net.input("x", ["N", steps, width])
    past = [net.input(f"past_{side}", ["N", heads, 5, size]) for side in ("key", "value")]
    parts = [net.dense(x, width, width, None) for _ in range(3)]
    y, key, value = net.ops(
        "Attention", 3, *parts, "", *past, q_num_heads=heads, kv_num_heads=heads
    )
    net.output(key, ["N", heads, 8, size])
    net.output(value, ["N", heads, 8, size])
    x = net.op("Add", x, net.dense(y, width, width, None))
    hidden = net.dense(x, width, 96)
    x = net.op("Add", x, net.dense(hidden, 96, width, None))
    return head(net, net.op("ReduceMean", x, net.ints(1), keepdims=0), width)


SAMPLES: Samples = {
    "quantised_attention": (quantised_attention, 0.73),
    "optimised_cnn": (partial(runtime_optimised, small_cnn), 0.71),
    "optimised_transformer": (partial(runtime_optimised, small_transformer), 0.71),
    "optimised_qdq_cnn": (partial(runtime_optimised, qdq_cnn), 0.71),
    "fused_bert": (transformer_optimised, 0.73),
    "fused_encoder": (partial(transformer_optimised, False), 0.48),
    "multi_head_attention": (partial(fused_attention, "MultiHeadAttention"), 0.47),
    "group_query_attention": (partial(fused_attention, "GroupQueryAttention"), 0.31),
    "skip_norms": (skip_norms, 0.57),
    "fused_products": (fused_products, 0.7),
    "attention_23": (partial(standard_attention, 23, False, False), 0.47),
    "attention_23_grouped": (partial(standard_attention, 23, True, False), 0.47),
    "attention_23_four_axes": (partial(standard_attention, 23, True, True), 0.47),
    "attention_24": (partial(standard_attention, 24, True, False), 0.47),
    "attention_with_cache": (attention_with_cache, 0.27),
}
