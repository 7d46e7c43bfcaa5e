import pytest

import spa_onnx
from spa_onnx.granularity import KINDS, chosen_kinds
from tests.spa_onnx.pruned_models import half, half_result, layers


def test_nothing_named_is_everything() -> None:
    assert chosen_kinds(()) == set(KINDS)


def test_named_kinds_are_those_that_are_cut() -> None:
    assert chosen_kinds(("ffn", "heads")) == {"ffn", "heads"}


def test_a_kind_behind_no_stays_whole() -> None:
    assert chosen_kinds(("no-residual",)) == set(KINDS) - {"residual"}
    assert chosen_kinds(("ffn", "heads", "no-heads")) == {"ffn"}


@pytest.mark.parametrize("word", ["head", "no-", "no-no-ffn", "", "FFN"])
def test_unknown_words_list_the_choices(word: str) -> None:
    with pytest.raises(spa_onnx.SpaError, match="heads, head-dims, ffn, residual"):
        spa_onnx.PruneConfig(granularity=(word,))


def test_a_choice_of_nothing_is_a_mistake() -> None:
    with pytest.raises(spa_onnx.SpaError, match="ffn,no-ffn leaves no kind"):
        spa_onnx.PruneConfig(granularity=("ffn", "no-ffn"))


def test_a_kind_that_the_model_lacks_says_what_there_is() -> None:
    with pytest.raises(
        spa_onnx.NothingToPruneError, match="leaves out all that there is, channels"
    ):
        half(layers(), granularity=("heads",))


def test_plans_remember_the_granularity() -> None:
    model = layers()
    result = half_result(model, granularity=("channels", "no-heads"))
    assert result.plan.settings["granularity"] == ["channels", "no-heads"]
    assert spa_onnx.apply(model, result.plan).model == result.model
