"""Normalisations, fused and decomposed."""

from tests.random_graphs.canvas import Canvas, Copy


def normalise_channels(c: Canvas, x: str) -> str:
    """Normalise an image by a random method."""
    forms = ["none", "batch", "batch", "instance", "layer"]
    if _groups(c.channels(x)) > 1:
        forms += ["group"] * 2
    match c.variant("norm", *forms):
        case "batch":
            return c.graph.batch_norm(x)
        case "instance":
            return c.graph.instance_norm(x)
        case "layer":
            return layer_norm_channels_first(c, x)
        case "group":
            return group_norm(c, x)
        case _:
            return x


def layer_norm(c: Canvas, x: str) -> str:
    """Layer norm over the last axis, as one operator from opset 17, or decomposed."""
    forms = ["decomposed", "root_mean_square"] + ["fused"] * 3 * (c.graph.opset >= 17)
    form = c.variant("layer_norm", *forms)
    if form == "fused":
        return c.graph.layer_norm(x, bias=c.chance(0.8))
    return _decomposed_layer_norm(c, x, -1, centred=form == "decomposed")


def layer_norm_channels_first(c: Canvas, x: str) -> str:
    """Layer norm over axis 1: decomposed there, or between two transposes."""
    if c.variant("layer_norm_channels", "decomposed", "transposed") == "decomposed":
        return _decomposed_layer_norm(c, x, 1, centred=True)
    y = layer_norm(c, c.graph.transpose(x, 0, 2, 3, 1))
    return c.graph.transpose(y, 0, 3, 1, 2)


def group_norm(c: Canvas, x: str) -> str:
    """Group norm, as one operator from opset 21, or by Reshape and InstanceNormalization."""
    groups = _groups(c.channels(x))
    forms = ["instance_norm"] + ["fused"] * (c.graph.opset >= 21)
    if c.variant("group_norm", *forms) == "fused":
        return c.graph.group_norm(x, groups)
    g, (channels, height, width) = c.graph, c.shape(x)[1:]
    one, zero = g.constant([1.0] * groups), g.constant([0.0] * groups)
    rows = c.reshape(x, [Copy(0), groups, -1])
    rows = g.node("InstanceNormalization", [rows, one, zero])
    y = c.reshape(rows, [Copy(0), channels, height, width])
    return g.add(g.mul(y, _column(c, g.scale(channels))), _column(c, g.bias(channels)))


def _decomposed_layer_norm(c: Canvas, x: str, axis: int, *, centred: bool) -> str:
    """(x - mean) / sqrt(variance + eps), times a scale, plus a bias if centred."""
    g, width = c.graph, c.shape(x)[axis]
    if centred:
        x = g.sub(x, g.reduce("ReduceMean", x, axis))
    square = g.mul(x, x) if c.chance(0.5) else g.node("Pow", [x, g.constant(2.0)])
    variance = g.add(g.reduce("ReduceMean", square, axis), g.constant(1e-3))
    scale, bias = g.scale(width), g.bias(width) if centred else None
    y = g.div(x, g.node("Sqrt", [variance]))
    y = g.mul(y, scale if axis == -1 else _column(c, scale))
    if bias:
        y = g.add(y, bias if axis == -1 else _column(c, bias))
    return y


def _column(c: Canvas, vector: str) -> str:
    """Shape ``(C,)`` to ``(C, 1, 1)``, as stored values or by an operator."""
    if c.chance(0.5):
        return c.graph.unsqueeze(vector, 1, 2)
    return c.graph.reshape(vector, [-1, 1, 1])


def _groups(channels: int) -> int:
    """Return the most groups, at most 4, that leave 3 channels or more in each."""
    return max(n for n in (1, 2, 3, 4) if n == 1 or (channels % n == 0 and channels // n >= 3))
