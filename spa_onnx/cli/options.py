"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import math
from pathlib import Path

import click

from spa_onnx.allocate.budget import MaxLatency
from spa_onnx.granularity import KINDS, WITHOUT, WORDS

Shapes = dict[str, tuple[int, ...]]


def read_shapes(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> Shapes:
    """Return shapes by input name from texts ``NAME:1,3,224,224``; a name may hold colons."""
    found: Shapes = {}
    for value in values:
        name, _, lengths = value.rpartition(":")
        try:
            shape = tuple(int(n) for n in lengths.split(","))
        except ValueError:
            shape = ()
        if not (name and shape and all(n > 0 for n in shape)):
            text = f"{value!r} is not of the form NAME:1,3,224,224"
            raise click.BadParameter(text, ctx, param)
        if found.setdefault(name, shape) != shape:
            raise click.BadParameter(f"two shapes for input {name!r}", ctx, param)
    return found


UNITS = {"": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}


def read_size(ctx: click.Context, param: click.Parameter, value: str) -> int:
    """Return bytes from a text such as ``1.5GB``."""
    number = value.rstrip("kMGB")
    try:
        size = round(float(number) * UNITS[value[len(number) :]])
    except (ValueError, KeyError, OverflowError):
        size = 0
    if size < 1:
        raise click.BadParameter(f"{value!r} is not a size such as 800MB or 1.5GB", ctx, param)
    return size


TIMES = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0}


def read_latency(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> MaxLatency | None:
    """Return a budget from a text such as ``4ms``, ``250us``, ``0.004s`` or ``50%``."""
    if value is None:
        return None
    number = value.rstrip("uµms%")
    unit = value[len(number) :]
    try:
        amount = float(number)
    except ValueError:
        amount = math.nan
    if math.isnan(amount) or unit not in (*TIMES, "%"):
        text = f"{value!r} is no latency such as 4ms, 250us, 0.004s or 50% (of the original's)"
        raise click.BadParameter(text, ctx, param)
    return MaxLatency(share=amount / 100) if unit == "%" else MaxLatency(amount * TIMES[unit])


def read_words(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the words of all values, which may each hold several behind commas."""
    words = tuple(word.strip() for value in values for word in value.split(","))
    for word in words:
        if word not in WORDS:
            choices = f"{', '.join(KINDS)}, or {WITHOUT} in front of one of these"
            raise click.BadParameter(f"{word!r} is not one of {choices}", ctx, param)
    return words


FILE = click.Path(path_type=Path)

model_argument = click.argument("model", type=FILE)
output_option = click.option(
    "-o", "--output", type=FILE, required=True, metavar="OUT", help="Where to write the result."
)
exclude_option = click.option(
    "--exclude",
    multiple=True,
    metavar="PATTERN",
    help="Leave nodes and tensors of this shell pattern whole. Repeatable.",
)
granularity_option = click.option(
    "--granularity",
    multiple=True,
    metavar="KIND[,KIND...]",
    callback=read_words,
    help=f"Cut only these kinds of lanes: {', '.join(KINDS)}; {WITHOUT}KIND: all but this. "
    "Repeatable.",
)
input_shape_option = click.option(
    "--input-shape",
    "input_shapes",
    multiple=True,
    metavar="NAME:1,3,224,224",
    callback=read_shapes,
    help="Numbers for an input with symbolic axes. Repeatable.",
)
seed_option = click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="For passes and inputs that are drawn.",
)
importance_option = click.option(
    "--importance", help="Pass that scores lanes.  [default: the recipe's]"
)
recipe_option = click.option(
    "--recipe",
    metavar="NAME",
    help="Passes that go together: data-free, calibrated, latency or magnitude. Passes given go "
    "before.  [default: calibrated with --calib, latency with --max-latency, else data-free; none "
    "if a pass is given]",
)
config_option = click.option(
    "--config", "recipe_file", type=FILE, metavar="FILE.toml", help="A recipe of your own."
)
allocation_option = click.option(
    "--allocation",
    help="Pass that spends the budget.  [default: the recipe's, or uniform or global]",
)
align_option = click.option(
    "--align",
    type=click.IntRange(1),
    metavar="N",
    help="Kept widths are multiples of N.  [default: 1, or the recipe's]",
)
threads_option = click.option(
    "--threads",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="Threads of ONNX Runtime for --max-latency.",
)
bench_threads_option = click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    default=1,
    show_default=True,
    metavar="N",
    help="Threads of ONNX Runtime.",
)
max_latency_option = click.option(
    "--max-latency",
    metavar="TIME",
    callback=read_latency,
    help="Run within 4ms, 250us or 0.004s on this machine, or within 50% of the original's time.",
)
compensation_option = click.option(
    "--compensation",
    metavar="NAME",
    help="Pass that repairs what stays.  [default: the recipe's, or none]",
)
calibration_option = click.option(
    "--calib",
    "calibration",
    type=FILE,
    metavar="PATH",
    help="Inputs for passes that run the model: .npz, .npy, .jsonl of token ids, folder of images.",
)
samples_option = click.option(
    "--samples",
    type=click.IntRange(1),
    metavar="N",
    help="Most items of --calib that are used.  [default: 512]",
)
preprocess_option = click.option(
    "--preprocess",
    metavar="FILE.toml",
    help="How images become inputs: a description, or imagenet or symmetric.",
)
verify_option = click.option(
    "--no-verify", "proved", flag_value=False, default=True, help="Skip the proof."
)
proof_memory_option = click.option(
    "--proof-memory",
    metavar="SIZE",
    default="1.5GB",
    show_default=True,
    callback=read_size,
    help="What weights may take at once in the proof; larger models are proved in pieces.",
)
quiet_option = click.option("--quiet", is_flag=True, help="Print nothing but errors.")
json_flag = click.option("--json", "as_json", is_flag=True, help="Print JSON to standard output.")
