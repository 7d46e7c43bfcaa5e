"""A fluent builder of small graphs, so that a test shows only what it is about.

    g = GraphBuilder(opset=13)
    x = g.input("x", (1, 3, 8, 8))
    y = g.relu(g.conv(x, 7, 3))
    model = g.model(g.global_average_pool(y))

Every method adds one operator (``linear`` two) in the form that the builder's opset knows, with
weights of its own, and returns the name of its output.
"""

from collections.abc import Sequence

from tests.graph_operators import GraphOperators
from tests.graph_writer import AnyArray

__all__ = ["AnyArray", "GraphBuilder"]


class GraphBuilder(GraphOperators):
    """One method per common operator; ``node`` of the base class writes all others."""

    # Operators with weights. ``weight`` and ``bias`` name tensors to use instead of fresh ones.

    def conv(
        self,
        x: str,
        out: int,
        kernel: int | Sequence[int] = 1,
        *,
        groups: int = 1,
        stride: int = 1,
        padding: int | None = None,
        bias: bool | str = True,
        weight: str | None = None,
    ) -> str:
        """Convolve over as many axes as ``x`` has behind the channels; padding keeps the size."""
        spatial = self._kernel(x, kernel)
        weight = weight or self.weight(out, self.shape(x)[1] // groups, *spatial)
        inputs = [x, weight, *self._bias(out, bias)]
        pads = [size // 2 if padding is None else padding for size in spatial]
        return self.node(
            "Conv", inputs, group=groups, strides=[stride] * len(spatial), pads=pads * 2,
            kernel_shape=spatial,
        )  # fmt: skip

    def conv_transpose(
        self,
        x: str,
        out: int,
        kernel: int | Sequence[int] = 2,
        *,
        groups: int = 1,
        stride: int = 2,
        bias: bool | str = True,
        weight: str | None = None,
    ) -> str:
        """Transposed convolution without padding; the weight is ``(C_in, out / groups, ...)``."""
        spatial = self._kernel(x, kernel)
        channels = self.shape(x)[1]
        weight = weight or self.weight(channels, out // groups, *spatial, fan_in=channels // groups)
        inputs = [x, weight, *self._bias(out, bias)]
        return self.node(
            "ConvTranspose", inputs, group=groups, strides=[stride] * len(spatial),
            kernel_shape=spatial,
        )  # fmt: skip

    def gemm(
        self,
        x: str,
        out: int,
        *,
        transposed: bool = True,
        bias: bool | str = True,
        weight: str | None = None,
    ) -> str:
        """Fully connected layer on ``(N, C)``; the weight is ``(out, C)`` if ``transposed``."""
        width = self.shape(x)[1]
        shape = (out, width) if transposed else (width, out)
        weight = weight or self.weight(*shape, fan_in=width)
        # Before opset 11 the third input was mandatory.
        extra = self._bias(out, bias) or ([self.constant(0.0)] if self.opset < 11 else [])
        return self.node("Gemm", [x, weight, *extra], transB=int(transposed))

    def linear(
        self, x: str, out: int, *, bias: bool | str = True, weight: str | None = None
    ) -> str:
        """MatMul over the last axis with a weight ``(C, out)``, then Add of the bias."""
        width = self.shape(x)[-1]
        y = self.matmul(x, weight or self.weight(width, out, fan_in=width))
        for vector in self._bias(out, bias):
            y = self.add(y, vector)
        return y

    def prelu(self, x: str) -> str:
        """PRelu with a slope per channel, axis 1."""
        rank = len(self.shape(x))
        slope = self.random.uniform(0.1, 0.4, (self.shape(x)[1], *[1] * (rank - 2)))
        return self.node("PRelu", [x, self.constant(slope)])

    def embedding(self, ids: str, rows: int, width: int, table: str | None = None) -> str:
        """Gather rows of a table ``(rows, width)`` at run time."""
        table = table or self.weight(rows, width, fan_in=1)
        return self.node("Gather", [table, ids], axis=0)

    def recurrent(
        self,
        op: str,
        x: str,
        hidden: int,
        *,
        bidirectional: bool = False,
        initial: Sequence[str] = (),
    ) -> str:
        """Run LSTM, GRU or RNN over ``(T, N, C)``; the result is ``(T, directions, N, hidden)``.

        ``initial`` names the first hidden state and, for LSTM, the first cell state.
        """
        gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
        ways, width = 1 + bidirectional, self.shape(x)[-1]
        inputs = [
            x,
            self.weight(ways, gates * hidden, width, fan_in=width),
            self.weight(ways, gates * hidden, hidden, fan_in=hidden),
            self.constant(self._away_from_zero((ways, 2 * gates * hidden), 0.1, 0.5)),
        ]
        if initial:
            inputs += ["", *initial]
        direction = "bidirectional" if bidirectional else "forward"
        return self.node(op, inputs, 2, hidden_size=hidden, direction=direction)[0]

    # Normalisations.

    def batch_norm(self, x: str) -> str:
        """BatchNormalization in inference form over axis 1."""
        width = self.shape(x)[1]
        mean, variance = self.bias(width), self.scale(width)
        inputs = [x, self.scale(width), self.bias(width), mean, variance]
        return self.node("BatchNormalization", inputs)

    def instance_norm(self, x: str) -> str:
        """InstanceNormalization over axis 1."""
        width = self.shape(x)[1]
        return self.node("InstanceNormalization", [x, self.scale(width), self.bias(width)])

    def layer_norm(self, x: str, *, bias: bool = True) -> str:
        """LayerNormalization over the last axis, from opset 17."""
        width = self.shape(x)[-1]
        inputs = [x, self.scale(width), *self._bias(width, bias)]
        return self.node("LayerNormalization", inputs, axis=-1)

    def group_norm(self, x: str, groups: int) -> str:
        """GroupNormalization over axis 1, from opset 21."""
        width = self.shape(x)[1]
        inputs = [x, self.scale(width), self.bias(width)]
        y = self.node("GroupNormalization", inputs, num_groups=groups)
        # ONNX infers no shape for it outside a whole model.
        self._types[y] = self._types[x]
        return y

    def _bias(self, length: int, bias: bool | str) -> list[str]:
        if isinstance(bias, str):
            return [bias]
        return [self.bias(length)] if bias else []
