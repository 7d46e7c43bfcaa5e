"""Image blocks whose input is added to, or concatenated with, what they compute."""

from tests.random_graphs.canvas import Canvas
from tests.random_graphs.norms import normalise_channels
from tests.random_graphs.pointwise import activate, activate_channels


def conv_norm_act(c: Canvas, x: str, out: int, kernel: int = 3, *, stride: int = 1) -> str:
    """Convolution, normalisation, activation."""
    return activate_channels(c, normalise_channels(c, c.conv(x, out, kernel, stride=stride)))


def plain(c: Canvas, x: str) -> str:
    """Two convolutions in a row."""
    return conv_norm_act(c, conv_norm_act(c, x, c.width()), c.width(), 1)


def residual_identity(c: Canvas, x: str) -> str:
    """x + f(x)."""
    inner = conv_norm_act(c, x, c.width())
    return c.graph.relu(c.graph.add(x, normalise_channels(c, c.conv(inner, c.channels(x), 3))))


def residual_projection(c: Canvas, x: str) -> str:
    """p(x) + f(x), both with the same stride."""
    out, stride = c.width(), 2 if min(c.shape(x)[2:]) >= 6 else 1
    main = c.conv(conv_norm_act(c, x, c.width(), stride=stride), out, 3)
    shortcut = c.conv(x, out, stride=stride)
    return activate_channels(c, c.graph.add(main, shortcut))


def residual_padded(c: Canvas, x: str) -> str:
    """Shortcut by spatial slices and channels padded with zeros, as in CIFAR ResNets."""
    before, after = c.number(0, 1, 3), c.number(2, 3, 5)
    stride = 2 if c.graph.opset >= 10 and min(c.shape(x)[2:]) >= 6 else 1
    out = before + c.channels(x) + after
    main = c.conv(conv_norm_act(c, x, c.width(), stride=stride), out, 3)
    shortcut = x
    if stride == 2:
        shortcut = c.graph.slice(c.graph.slice(x, 0, axis=2, step=2), 0, axis=3, step=2)
    return c.graph.add(main, c.graph.pad(shortcut, {1: (before, after)}))


def bottleneck(c: Canvas, x: str) -> str:
    """Narrow, convolve (sometimes in groups), widen, add."""
    groups = c.number(1, 2, 3)
    inner = groups * c.number(2, 3, 4, 5)
    y = conv_norm_act(c, x, inner, 1)
    y = activate_channels(c, c.conv(y, inner, 3, groups=groups))
    return activate(c, c.graph.add(c.conv(y, c.channels(x)), x))


def pre_activation(c: Canvas, x: str) -> str:
    """x + conv(act(norm(x)))."""
    y = activate_channels(c, normalise_channels(c, x))
    return c.graph.add(c.conv(y, c.channels(x), 3), x)


def dense_growth(c: Canvas, x: str) -> str:
    """DenseNet: every layer reads all features before it and appends its own."""
    growth = c.width(most=9)
    for _ in range(c.number(2, 3)):
        y = activate_channels(c, normalise_channels(c, x))
        x = c.graph.concat(x, c.conv(y, growth, 3))
    return c.conv(x, c.width()) if c.channels(x) > 40 else x


def branches(c: Canvas, x: str) -> str:
    """Inception: different convolutions side by side, one behind a 3x3 pooling."""
    pooled = c.graph.node("MaxPool", [x], kernel_shape=[3, 3], pads=[1] * 4)
    parts = [
        conv_norm_act(c, x, c.width(most=12), 1),
        conv_norm_act(c, x, c.width(most=12), 3),
        c.conv(pooled, c.width(most=12)),
    ]
    return c.graph.concat(*parts[: c.number(2, 3)])


def split_halves(c: Canvas, x: str) -> str:
    """Cross-stage partial: two unequal parts, one processed, one not, concatenated."""
    left = c.number(*range(1, c.channels(x)))
    a, b = c.graph.split(x, [left, c.channels(x) - left])
    return c.graph.concat(a, conv_norm_act(c, b, c.width(most=16)))


def split_and_add(c: Canvas, x: str) -> str:
    """Equal halves, each processed in its own way, added; then added to the whole."""
    half = c.width(most=16)
    whole = c.conv(x, 2 * half)
    a, b = c.graph.split(whole, [half, half])
    a, b = activate_channels(c, c.conv(a, half, 3)), c.graph.sigmoid(b)
    return c.graph.concat(c.graph.add(a, b), a)


def cascade(c: Canvas, x: str) -> str:
    """Res2Net: parts processed one after the other, each adding its predecessor."""
    parts, each = c.number(2, 3), c.number(3, 4, 5)
    pieces = c.graph.split(c.conv(x, parts * each), [each] * parts)
    done = [pieces[0]]
    for piece in pieces[1:]:
        done.append(c.graph.relu(c.conv(c.graph.add(piece, done[-1]), each, 3)))
    return c.graph.add(x, c.conv(c.graph.concat(*done), c.channels(x)))


def second_image(c: Canvas, x: str) -> str:
    """A further graph input of the same resolution, added or concatenated."""
    other = c.conv(c.input("image", 2, *c.shape(x)[2:]), c.channels(x), 3)
    if c.variant("second_image", "added", "concatenated") == "added":
        return c.graph.add(x, other)
    return c.graph.concat(x, other)
