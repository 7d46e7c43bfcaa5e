import pytest

from spa_onnx.report.words import count, share, short, size, some, weight_axes


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (7, "7"),
        (999, "999"),
        (1000, "1.00 k"),
        (12345, "12.3 k"),
        (705_600, "706 k"),
        (999_600, "1.00 M"),
        (2_800_000, "2.80 M"),
        (4.089e9, "4.09 G"),
        (1e15, "1.00e+03 T"),
    ],
)
def test_counts_have_three_digits(number: float, text: str) -> None:
    assert short(number) == text


def test_bytes_have_a_unit() -> None:
    assert (size(999), size(1000), size(27_600_000)) == ("999 B", "1.00 kB", "27.6 MB")


def test_a_share_of_nothing_is_no_number() -> None:
    assert (share(1, 3), share(0, 0)) == ("33.3 %", "-")


def test_nouns_agree_with_their_number() -> None:
    assert (count(1, "node"), count(2, "node")) == ("1 node", "2 nodes")
    assert (weight_axes(1), weight_axes(2)) == ("1 weight axis", "2 weight axes")


def test_long_lists_are_cut_short() -> None:
    assert some(["a", "b"], 2) == "a, b"
    assert some(["a", "b", "c", "d"], 2) == "a, b and 2 more"
