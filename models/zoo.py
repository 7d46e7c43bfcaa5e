"""Make the whole zoo, or list what lies there already, with what is expected of each model.

    python models/zoo.py OUT --python keras=ENV/bin/python --python jax=ENV2/bin/python
    spa-onnx bench coverage OUT/zoo.json -o docs/coverage.md

Every script of ``SOURCES`` runs whose framework is there; it skips what an earlier run finished,
and the end of one is not the end of the rest. ``OUT/zoo.json`` then lists every model, also those
whose export failed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import click
from expectations import EXCEPTIONS, RATIO, REFUSALS, USUAL, exception

from spa_onnx.bench.zoo import FORMAT, Absent, Entry, Zoo

SCRIPTS = Path(__file__).parent
LOG = "exports.jsonl"
"""Where every script leaves what came of its exports."""


@dataclass(frozen=True, slots=True)
class Source:
    """A script and the folder of its own that it fills.

    Attributes:
        name: of the folder in the zoo.
        script: under ``models/``.
        framework: whose models they are.
        exporter: what writes the files.
        needs: modules that the script imports.
        extra: of spa-onnx, which installs them; empty where nothing more is needed.
        options: of the script.
        variants: patterns of names that another exporter writes.
    """

    name: str
    script: str
    framework: str
    exporter: str
    needs: tuple[str, ...]
    extra: str = ""
    options: tuple[str, ...] = ()
    variants: Mapping[str, str] = field(default_factory=dict)

    def exporter_of(self, name: str) -> str:
        """Return what wrote a model."""
        others = (other for pattern, other in self.variants.items() if fnmatchcase(name, pattern))
        return next(others, self.exporter)


TORCH = ("torch", "torchvision", "onnxscript")
LEGACY, DYNAMO = "torch.onnx, traced", "torch.onnx, dynamo"
TORCH_VARIANTS = {"*.dynamo*": DYNAMO, "*/dynamo/*": DYNAMO}

SOURCES = (
    Source(
        "torchvision", "torchvision_zoo.py", "PyTorch", LEGACY, TORCH, "models", (),
        TORCH_VARIANTS,
    ),
    Source(
        "torchvision_more", "torchvision_zoo.py", "PyTorch", LEGACY, TORCH, "models", ("--more",),
        TORCH_VARIANTS,
    ),
    Source(
        "timm", "timm_zoo.py", "PyTorch", LEGACY, (*TORCH, "timm"), "models", (), TORCH_VARIANTS
    ),
    Source(
        "transformers", "transformers_zoo.py", "PyTorch", LEGACY, (*TORCH, "transformers"),
        "models", (), TORCH_VARIANTS,
    ),
    Source("own", "own_zoo.py", "PyTorch", LEGACY, TORCH, "models", (), TORCH_VARIANTS),
    Source(
        "keras", "keras_zoo.py", "Keras", "Keras", ("keras", "tensorflow", "tf2onnx"), "keras", (),
        {"*_tf2onnx": "tf2onnx"},
    ),
    Source(
        "jax", "jax_zoo.py", "JAX", "jax2onnx", ("jax", "flax", "equinox", "jax2onnx"), "jax"
    ),
    Source(
        "paddle", "paddle_zoo.py", "PaddlePaddle", "paddle2onnx", ("paddle", "paddle2onnx"),
        "paddle",
    ),
    Source(
        "sklearn", "sklearn_zoo.py", "scikit-learn", "skl2onnx", ("sklearn", "skl2onnx"),
        "sklearn",
    ),
    Source("handwritten", "handwritten_zoo.py", "none", "by hand", ("onnxruntime",)),
)  # fmt: skip
"""Everything in the zoo, by the script that makes it; each script lists its models."""


# -- making -------------------------------------------------------------------------------------


LOOK = """
import importlib.util, sys
sys.exit(any(importlib.util.find_spec(name) is None for name in sys.argv[1:]))
"""


def make(source: Source, out: Path, python: str) -> str:
    """Run a script; return why it left nothing, or an empty text."""
    if subprocess.run([python, "-c", LOOK, *source.needs], check=False).returncode:
        return f"{python} lacks one of {', '.join(source.needs)}; {remedy(source)}"
    folder = out / source.name
    folder.mkdir(parents=True, exist_ok=True)
    command = [python, str(SCRIPTS / source.script), str(folder), *source.options]
    with (folder / "table.md").open("w") as table:
        code = subprocess.run(command, stdout=table, check=False).returncode
    if code and not any(folder.rglob("*.onnx")):
        return f"{source.script} ended with exit code {code} and left no model"
    return ""


def remedy(source: Source) -> str:
    """Say how to get what a script needs."""
    option = f", and give its interpreter with --python {source.extra}=..." if source.extra else ""
    return f"pip install -e '.[{source.extra}]'{option}"


# -- listing ------------------------------------------------------------------------------------


def entries(source: Source, out: Path) -> Iterator[Entry]:
    """Yield what a script made or could not make, by name."""
    folder = out / source.name
    files = {path.relative_to(out).as_posix() for path in folder.rglob("*.onnx")}
    failures = dict(failed(out, folder))
    for file in sorted(files | set(failures)):
        name = file.removesuffix(".onnx")
        there = file in files
        found = exception(name)
        yield Entry(
            name,
            source.name,
            source.framework,
            source.exporter_of(name),
            file if there else "",
            "" if there else failures[file],
            found.least if found else USUAL,
            found.reason if found else "",
            REFUSALS.get(name, ""),
        )


def failed(out: Path, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the files that the logs of a folder tell of, and why they are not there."""
    for log in sorted(folder.rglob(LOG)):
        for line in log.read_text().splitlines():
            outcome = json.loads(line)
            file = (log.parent / outcome["path"]).relative_to(out).as_posix()
            yield file, outcome["failure"] or "was exported, and is not there any more"


def index(out: Path, sources: Sequence[Source], absent: Mapping[str, str]) -> Zoo:
    """List a folder of exports, and write the list there."""
    models = [entry for source in sources for entry in entries(source, out)]
    made = {entry.family for entry in models}
    missing = {s.name: absent.get(s.name) or "no folder" for s in sources if s.name not in made}
    zoo = Zoo(FORMAT, RATIO, tuple(models), tuple(Absent(*pair) for pair in missing.items()))
    path = out / "zoo.json"
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(asdict(zoo), indent=1) + "\n")
    temporary.replace(path)
    return zoo


def show_sources() -> None:
    """Print what there is, and what is expected."""
    for source in SOURCES:
        extra = f"[{source.extra}]" if source.extra else ""
        call = " ".join([source.script, *source.options])
        click.echo(f"{source.name:<17} {source.framework:<13} {extra:<10} {call}")
    click.echo(
        f"\nExpected: proved, and at least {USUAL:.0%} removed at ratio {RATIO:g}. Exceptions:\n"
    )
    for one in EXCEPTIONS:
        click.echo(f"{one.pattern:<40} {one.least:>5.0%}  {one.reason}")
    for name, words in REFUSALS.items():
        click.echo(f"{name:<40}  none  refused: {words}")


def read_pythons(
    _ctx: click.Context, _option: click.Parameter, values: Sequence[str]
) -> dict[str, str]:
    """Return interpreters by extra from texts ``keras=PATH``.

    Raises:
        click.BadParameter: a text of another form, or an extra that no script needs.
    """
    known = {source.extra for source in SOURCES if source.extra}
    found = {}
    for value in values:
        extra, _, path = value.partition("=")
        if extra not in known or not path:
            raise click.BadParameter(
                f"{value!r} is not NAME=PATH with NAME of {', '.join(sorted(known))}"
            )
        found[extra] = path
    return found


@click.command(help=(__doc__ or "").partition("\n")[0])
@click.argument("out", type=click.Path(file_okay=False, path_type=Path), required=False)
@click.option("--source", "names", multiple=True, type=click.Choice([s.name for s in SOURCES]))
@click.option(
    "--python",
    "pythons",
    multiple=True,
    callback=read_pythons,
    metavar="EXTRA=PATH",
    help="Interpreter of an environment with this extra. Repeatable.",
)
@click.option("--index-only", is_flag=True, help="Export nothing, list what is there.")
@click.option(
    "--list", "listing", is_flag=True, help="Print the scripts and expectations, and end."
)
def main(
    out: Path | None,
    names: tuple[str, ...],
    pythons: dict[str, str],
    index_only: bool,
    listing: bool,
) -> None:
    """Run the scripts and write OUT/zoo.json."""
    if listing:
        show_sources()
        return
    if out is None:
        raise click.UsageError("give the folder OUT")
    out.mkdir(parents=True, exist_ok=True)
    sources = [source for source in SOURCES if not names or source.name in names]
    absent: dict[str, str] = {}
    for source in sources if not index_only else ():
        click.echo(f"== {source.name}", err=True)
        absent[source.name] = make(source, out, pythons.get(source.extra, sys.executable))
        if absent[source.name]:
            click.echo(absent[source.name], err=True)
    zoo = index(out, sources, absent)
    exported = sum(bool(entry.file) for entry in zoo.models)
    click.echo(f"{exported} of {len(zoo.models)} exported; {out / 'zoo.json'}")


if __name__ == "__main__":
    main()
