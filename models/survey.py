"""Prune a list of models, each in a process of its own, and print what came of it as a table.

    python models/survey.py --ratio 0.5 MODEL.onnx... > docs/survey.md

Every row is one `spa_onnx.prune` with the proof switched on; a crash or time-out is a row too.
Memory is the peak of the whole process; without the proof (`--no-verify`) that of the compiler.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import median

import click

WORKER = """
import json, resource, sys, time
start = time.perf_counter()
import spa_onnx
path, ratio, importance, verify, output = json.loads(sys.argv[1])
config = spa_onnx.PruneConfig(spa_onnx.Ratio(ratio), importance=importance, verify=verify)
report = spa_onnx.prune(path, config, output=output).report
print(json.dumps({
    "seconds": time.perf_counter() - start,
    "stages": dict(report.seconds),
    "removed": 1 - report.after.parameters / max(1, report.before.parameters),
    "operations": 1 - report.after.operations / max(1, report.before.operations),
    "difference": report.proof.largest if report.proof else None,
    "power": report.proof.power if report.proof else None,
    "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
}))
"""


def survey(
    path: Path, ratio: float, importance: str, verify: bool, output: Path, limit: float
) -> dict[str, object]:
    """Prune one model in a fresh process; return its figures, or an ``error``."""
    arguments = json.dumps([str(path), ratio, importance, verify, str(output)])
    try:
        done = subprocess.run(
            [sys.executable, "-c", WORKER, arguments],
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no result after {limit:.0f} s"}
    finally:
        output.unlink(missing_ok=True)
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["crashed"])[-1]}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def row(path: Path, result: dict[str, object]) -> str:
    """Return one line of the table."""
    name = f"{path.parent.name}/{path.stem}"
    if "error" in result:
        return f"| {name} | {result['error']} | | | | | | |"
    stages = result["stages"]
    assert isinstance(stages, dict)
    compiler = sum(stages.get(s, 0.0) for s in ("load", "analyse", "rewrite", "write"))
    proof = "not run" if result["difference"] is None else f"{result['difference']:.1e}"
    power = "" if result["power"] is None else f"{result['power']:.2f}"
    memory = float(str(result["rss"])) / path.stat().st_size
    shares = [f"{100 * float(str(result[key])):.1f}" for key in ("removed", "operations")]
    seconds = [f"{compiler:.2f}", f"{stages.get('verify', 0.0):.2f}", f"{memory:.1f}"]
    return f"| {' | '.join([name, *shares, proof, power, *seconds])} |"


@click.command()
@click.argument(
    "models", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--ratio", default=0.5, show_default=True)
@click.option("--importance", default="l2", show_default=True)
@click.option(
    "--no-verify", is_flag=True, help="Without the proof: for time and memory of the compiler."
)
@click.option("--timeout", default=600.0, show_default=True, help="Seconds for one model.")
@click.option(
    "--scratch",
    default=".",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where outputs lie briefly.",
)
def main(
    models: tuple[Path, ...],
    ratio: float,
    importance: str,
    no_verify: bool,
    timeout: float,
    scratch: Path,
) -> None:
    """Print a markdown table of MODELS pruned at one ratio."""
    click.echo(
        "| model | parameters removed % | operations removed % | largest difference | power "
        "| load+analyse+rewrite+write s | proof s | peak memory / file |"
    )
    click.echo("|---" * 8 + "|")
    removed: list[float] = []
    for path in models:
        result = survey(
            path, ratio, importance, not no_verify, scratch / f".survey-{path.stem}.onnx", timeout
        )
        click.echo(row(path, result))
        if "error" not in result:
            removed.append(100 * float(str(result["removed"])))
    if removed:
        click.echo(
            f"\n{len(removed)} of {len(models)} pruned; "
            f"parameters removed: median {median(removed):.1f} %, least {min(removed):.1f} %."
        )


if __name__ == "__main__":
    main()
