from pathlib import Path

import pytest

import spa_onnx
from spa_onnx.config import PruneConfig
from spa_onnx.errors import RecipeError, UnknownPassError, UsageError
from spa_onnx.latency.vector import vector_lanes
from spa_onnx.passes.magnitude import L1
from spa_onnx.passes.obspa import GroupObs
from spa_onnx.passes.ridge import Ridge
from spa_onnx.recipe import find_recipe, installed_recipes, parse_recipe, read_recipe
from tests.builders import GraphBuilder


@pytest.mark.parametrize("name", installed_recipes())
def test_every_recipe_of_the_package_makes_its_passes(name: str) -> None:
    recipe = find_recipe(name)
    assert recipe.passes
    assert all(recipe.make(kind) is not None for kind in recipe.passes)


def test_options_are_fields_of_the_pass() -> None:
    text = '[importance]\npass = "obspa"\ndamping = 0.5\n[compensation]\npass = "ridge"\n'
    recipe = parse_recipe(text + "damping = [0.1, 1]\n", "mine")
    assert recipe.make("importance") == GroupObs(damping=0.5)
    assert recipe.make("compensation") == Ridge(damping=(0.1, 1))
    assert recipe.make("allocation") is None


def test_a_configuration_takes_passes_that_are_given_before_those_of_the_recipe() -> None:
    config = PruneConfig.of_recipe("data-free", importance=L1(), seed=3, allocation=None)
    assert config.importance == L1()
    assert config.compensation == Ridge()
    assert config.seed == 3
    assert "obspa" in config.recipe


def test_a_recipe_may_align_widths() -> None:
    text = '[importance]\npass = "l1"\n'
    assert PruneConfig.of_recipe(parse_recipe(text, "mine")).align is None
    assert PruneConfig.of_recipe(parse_recipe("align = 4\n" + text, "mine")).align == 4
    assert PruneConfig.of_recipe(parse_recipe("align = 4\n" + text, "mine"), align=2).align == 2
    assert PruneConfig.of_recipe("latency").align == vector_lanes()
    assert PruneConfig.of_recipe("latency", align=1).align == 1


def test_a_plan_and_a_report_keep_the_recipe() -> None:
    g = GraphBuilder()
    model = g.model(g.conv(g.relu(g.conv(g.input("x", (1, 3, 6, 6)), 6)), 4))
    recipe = parse_recipe('# mine\n[importance]\npass = "l1"\n', "mine")
    result = spa_onnx.prune(model, PruneConfig.of_recipe(recipe))
    assert result.plan.settings["recipe"] == recipe.text
    assert result.report.settings["recipe"] == recipe.text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[importance", r"is no TOML"),
        ("[importance]\ndamping = 1\n", r"\[importance\] needs a line"),
        ("importance = 3\n", r"\[importance\] needs a line"),
        ("[importance]\npass = 3\n", r"\[importance\] needs a line"),
        ("align = 0\n", "has align = 0; that is a positive number"),
        ("align = true\n", "has align = True; that is a positive number"),
        ('align = "wide"\n', "has align = 'wide'; that is a positive number"),
        ('[quantise]\npass = "x"\n', "has 'quantise'; a recipe has importance"),
    ],
)
def test_a_broken_recipe_says_what_is_wrong(text: str, problem: str) -> None:
    with pytest.raises(RecipeError, match=problem):
        parse_recipe(text, "mine")


def test_an_option_that_a_pass_lacks_is_named() -> None:
    recipe = parse_recipe('[importance]\npass = "obspa"\ndampling = 1\n', "mine")
    with pytest.raises(RecipeError, match=r"\[importance\]: pass 'obspa': .*dampling"):
        recipe.make("importance")


def test_values_are_checked_by_the_pass() -> None:
    for value in ("-1", '"much"'):
        recipe = parse_recipe(f'[importance]\npass = "obspa"\ndamping = {value}\n', "mine")
        with pytest.raises(UsageError, match=r"obspa|damping"):
            recipe.make("importance")


def test_an_unknown_pass_lists_the_known_ones() -> None:
    with pytest.raises(UnknownPassError, match="'none'; installed: "):
        parse_recipe('[importance]\npass = "none"\n', "mine").make("importance")


def test_an_unknown_recipe_lists_the_known_ones() -> None:
    with pytest.raises(RecipeError, match=r"is no recipe; there are calibrated, data-free"):
        find_recipe("../calibrated")


def test_files_are_read_with_care(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    with pytest.raises(RecipeError, match="cannot be read"):
        read_recipe(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(RecipeError, match="cannot be read"):
        read_recipe(path)
    path.write_text("#" * 70_000)
    with pytest.raises(RecipeError, match="too long"):
        read_recipe(path)
    path.write_text('[importance]\npass = "l1"\n')
    assert read_recipe(path).make("importance") == L1()


def test_a_recipe_says_for_which_inputs_it_is() -> None:
    given = parse_recipe('inputs = "given"\n', "mine")
    with pytest.raises(RecipeError, match="needs calibration inputs"):
        PruneConfig.of_recipe(given)
    assert PruneConfig.of_recipe(given, calibration="x.npy").calibration == "x.npy"
    made = parse_recipe('inputs = "made up"\n', "mine")
    with pytest.raises(RecipeError, match="makes up its inputs"):
        PruneConfig.of_recipe(made, calibration="x.npy")
    with pytest.raises(RecipeError, match="that is"):
        parse_recipe('inputs = "some"\n', "mine")
