"""``spa-onnx verify``: prove a pruned model that already exists."""

from __future__ import annotations

from pathlib import Path

import click

from spa_onnx.cli.options import FILE, json_flag, model_argument, proof_memory_option, seed_option
from spa_onnx.cli.terminal import console, progress
from spa_onnx.errors import ProofFailedError


@click.command()
@model_argument
@click.argument("pruned", type=FILE)
@click.option(
    "--plan", type=FILE, required=True, metavar="PLAN.json", help="The plan that was applied."
)
@seed_option
@proof_memory_option
@json_flag
@click.pass_context
def verify(
    ctx: click.Context,
    model: Path,
    pruned: Path,
    plan: Path,
    seed: int,
    proof_memory: int,
    as_json: bool,
) -> None:
    """Prove that PRUNED equals MODEL with the lanes masked that PLAN.json removes."""
    with progress(lines=not as_json) as observer:
        observer("verify")

        from spa_onnx.pipeline import verify as run

        try:
            proof = run(model, pruned, plan, seed=seed, proof_memory=proof_memory)
        except ProofFailedError as failure:
            if ctx.find_root().params["debug"]:
                raise
            click.echo(f"Error: {pruned} is not what {plan} makes of {model}: {failure}", err=True)
            ctx.exit(failure.exit_code)

    from spa_onnx.report.proof import print_proof, proof_json

    if as_json:
        click.echo(proof_json(proof), nl=False)
        return
    with console() as screen:
        print_proof(screen, proof)
