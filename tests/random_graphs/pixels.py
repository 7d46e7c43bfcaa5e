"""Image blocks that change resolution or the number of spatial axes."""

from tests.random_graphs.canvas import Canvas, Copy
from tests.random_graphs.pointwise import activate_channels
from tests.random_graphs.residuals import conv_norm_act


def pixel_shuffle(c: Canvas, x: str) -> str:
    """Channels to 2x2 pixels: DepthToSpace in both modes, or reshape, transpose, reshape."""
    x = c.conv(shrink(c, x), 4 * c.number(4, 5, 6))
    forms = ["DCR", "reshape_dcr", "reshape_crd"] + ["CRD"] * (c.graph.opset >= 11)
    form = c.variant("pixel_shuffle", *forms)
    if form in ("DCR", "CRD"):
        return c.graph.depth_to_space(x, 2, form)
    channels, height, width = c.shape(x)[1:]
    depth = channels // 4
    factors, order = ([2, 2, depth], (0, 3, 4, 1, 5, 2))
    if form == "reshape_crd":
        factors, order = ([depth, 2, 2], (0, 1, 4, 2, 5, 3))
    y = c.graph.transpose(c.reshape(x, [Copy(0), *factors, height, width]), *order)
    return c.reshape(y, [Copy(0), depth, 2 * height, 2 * width])


def pixel_unshuffle(c: Canvas, x: str) -> str:
    """2x2 pixels to channels: SpaceToDepth, or reshape, transpose, reshape; needs even sides."""
    x = c.conv(x, c.width(most=8))
    channels, height, width = c.shape(x)[1:]
    x = c.graph.pad(x, {2: (0, height % 2), 3: (0, width % 2)})
    height, width = (height + 1) // 2, (width + 1) // 2
    if c.variant("pixel_unshuffle", "fused", "reshape") == "fused":
        y = c.graph.node("SpaceToDepth", [x], blocksize=2)
    else:
        y = c.reshape(x, [Copy(0), channels, height, 2, width, 2])
        y = c.graph.transpose(y, 0, 1, 3, 5, 2, 4)
        y = c.reshape(y, [Copy(0), 4 * channels, height, width])
    return c.conv(y, c.width())


def conv_transpose(c: Canvas, x: str) -> str:
    """Transposed convolution, sometimes in groups or depthwise."""
    x = shrink(c, x)
    form = c.variant("conv_transpose", "plain", "grouped", "depthwise")
    if form == "depthwise":
        width = c.channels(x)
        return c.conv(c.graph.conv_transpose(x, width, groups=width), c.width())
    groups = c.number(2, 3) if form == "grouped" else 1
    y = c.conv(x, groups * c.number(3, 4, 5))
    return activate_channels(
        c, c.graph.conv_transpose(y, groups * c.number(2, 4, 5), groups=groups)
    )


def pyramid(c: Canvas, x: str) -> str:
    """Feature pyramid: pool, convolve, enlarge, add to or concatenate with the finer level."""
    height, width = c.shape(x)[2:]
    if height % 2 or width % 2:
        return c.graph.resize(c.conv(shrink(c, x), c.width()))
    lateral = c.width(most=16)
    coarse = c.graph.resize(conv_norm_act(c, c.graph.max_pool(x), lateral))
    if c.variant("pyramid", "added", "concatenated") == "added":
        return c.graph.add(coarse, c.conv(x, lateral))
    return c.graph.concat(coarse, x)


def conv_3d(c: Canvas, x: str) -> str:
    """A second time step by concatenation, a 3-D convolution, mean over time."""
    steps = [c.graph.unsqueeze(y, 2) for y in (x, c.graph.tanh(x))]
    volume = c.conv(c.graph.concat(*steps, axis=2), c.width(most=14), 3)
    if c.variant("conv_3d", "mean", "folded") == "mean":
        return c.graph.reduce("ReduceMean", volume, 2, keepdims=False)
    channels, depth, *sides = c.shape(volume)[1:]
    return c.reshape(volume, [Copy(0), channels * depth, *sides])


def rows_as_signal(c: Canvas, x: str) -> str:
    """Pixels in one row, 1-D convolutions (one in groups), and back."""
    sides = c.shape(x)[2:]
    groups = c.number(1, 2, 3)
    signal = c.conv(c.reshape(x, [Copy(0), c.channels(x), -1]), groups * c.number(3, 4, 5), 3)
    signal = c.conv(c.graph.relu(signal), groups * c.number(3, 4, 7), 3, groups=groups)
    return c.reshape(signal, [Copy(0), c.channels(signal), *sides])


def local_response(c: Canvas, x: str) -> str:
    """Local response normalisation, which looks at neighbouring channels."""
    normed = c.graph.node("LRN", [x], size=3, alpha=0.1)
    return c.conv(normed, c.width(), 3)


def shrink(c: Canvas, x: str) -> str:
    """Pool an image that is large."""
    if min(c.shape(x)[2:]) < 6:
        return x
    return c.graph.max_pool(x) if c.chance(0.5) else c.graph.average_pool(x)
