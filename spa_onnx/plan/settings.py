"""What a plan remembers of the run that made it, and what applying it again needs of that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spa_onnx.allocate.budget import Ratio
from spa_onnx.config import PruneConfig
from spa_onnx.errors import PlanError, UsageError
from spa_onnx.plan.plan import Plan
from spa_onnx.report.report import library_versions


def default_allocation(config: PruneConfig) -> str:
    """Return the allocation pass that fits a budget."""
    return "uniform" if isinstance(config.budget, Ratio) else "global"


def settings_of(config: PruneConfig, rigid: frozenset[str]) -> dict[str, Any]:
    """Return the settings that a plan keeps."""

    def name(choice: Any) -> str:
        return choice if isinstance(choice, str) else repr(choice)

    return {
        "budget": repr(config.budget),
        "importance": name(config.importance),
        "allocation": name(config.allocation or default_allocation(config)),
        "compensation": None if config.compensation is None else name(config.compensation),
        "recipe": config.recipe,
        "align": config.align or 1,
        "threads": config.threads,
        "exclude": list(config.exclude),
        "granularity": list(config.granularity),
        "input_shapes": {k: list(v) for k, v in config.input_shapes.items()},
        "seed": config.seed,
        "rigid": sorted(rigid),
        "versions": library_versions(),
    }


def planned_config(plan: Plan, source: str, *, verify: bool) -> PruneConfig:
    """Return the settings of a plan that matter when it is applied again.

    Raises:
        PlanError: they are broken.
    """
    try:
        seed, exclude = plan.settings.get("seed", 0), plan.settings.get("exclude", [])
        granularity = plan.settings.get("granularity", [])
        shapes = dict(plan.settings.get("input_shapes", {}))
        return PruneConfig(
            exclude=(exclude,) if isinstance(exclude, str) else tuple(map(str, exclude)),
            granularity=tuple(map(str, granularity)),
            input_shapes={str(k): tuple(int(n) for n in v) for k, v in shapes.items()},
            seed=int(seed),
            verify=verify,
        )
    except (TypeError, ValueError, UsageError) as failure:
        raise PlanError(source, f"has broken settings ({failure})") from failure


def is_repaired(plan: Plan) -> bool:
    """Say whether the run that made a plan changed weights afterwards."""
    return bool(plan.settings.get("compensation"))


def rigid_nodes(plan: Plan, source: str) -> frozenset[str]:
    """Return the nodes whose axes stay whole because their shapes cannot be corrected.

    Raises:
        PlanError: they are no list of names.
    """
    names = plan.settings.get("rigid", [])
    if not isinstance(names, list):
        raise PlanError(source, "has broken settings (rigid is no list)")
    return frozenset(map(str, names))


def read_plan(plan: Plan | str | Path) -> tuple[Plan, str]:
    """Return a plan and the name of its file.

    Raises:
        PlanError: the file cannot be read or holds no plan.
    """
    if isinstance(plan, Plan):
        return plan, ""
    try:
        return Plan.from_json(Path(plan).read_text(encoding="utf-8"), str(plan)), str(plan)
    except (OSError, UnicodeDecodeError) as failure:
        raise PlanError(str(plan), f"cannot be read ({failure})") from failure
