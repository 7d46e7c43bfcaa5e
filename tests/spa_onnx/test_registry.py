from collections.abc import Callable
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from spa_onnx import registry
from spa_onnx.errors import DuplicatePassError, PassLoadError, UnknownPassError
from spa_onnx.passes.magnitude import L1
from spa_onnx.passes.uniform import Uniform
from spa_onnx.registry import find_pass, installed

Install = Callable[..., None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Replace the installed entry points."""

    def replace(**passes: str) -> None:
        found = [
            EntryPoint(name.rstrip("_"), value, "spa_onnx.importance")
            for name, value in passes.items()
        ]
        monkeypatch.setattr(registry, "entry_points", lambda group: EntryPoints(found))

    return replace


def test_our_passes_are_found_as_anyone_elses() -> None:
    assert {"l1", "l2", "random"} <= installed("importance").keys()
    assert {"uniform", "global"} <= installed("allocation").keys()
    assert find_pass("importance", "l1") == L1()
    assert find_pass("allocation", "uniform") == Uniform()


def test_an_object_is_taken_as_it_is() -> None:
    mine = object()
    assert find_pass("importance", mine) is mine


def test_an_unknown_name_lists_the_known_ones(install: Install) -> None:
    install(mine="somewhere:Mine", other="somewhere:Other")
    with pytest.raises(UnknownPassError, match="named 'l1'; installed: mine, other"):
        find_pass("importance", "l1")
    install()
    with pytest.raises(UnknownPassError, match="installed: none"):
        find_pass("importance", "l1")


def test_two_passes_of_one_name_are_an_error(install: Install) -> None:
    install(mine="here:Mine", mine_="there:Mine")
    with pytest.raises(
        DuplicatePassError, match=r"2 importance passes are named 'mine'.*uninstall or rename one"
    ):
        installed("importance")


def test_one_pass_installed_twice_is_one_pass(install: Install) -> None:
    install(mine="here:Mine", mine_="here:Mine")
    assert list(installed("importance")) == ["mine"]


@pytest.mark.parametrize(
    "target", ["no_such_module:Pass", "spa_onnx.passes.magnitude:L3", "pathlib:PurePath.with_name"]
)
def test_a_pass_that_cannot_be_loaded_is_named(target: str, install: Install) -> None:
    install(broken=target)
    with pytest.raises(PassLoadError, match=f"pass 'broken' \\({target}\\) cannot be loaded"):
        find_pass("importance", "broken")
