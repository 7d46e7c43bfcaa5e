import numpy as np

from spa_onnx.inputs.tokens import make_ids, make_mask, make_positions, make_segments


def test_ids_are_rows_and_frequent_ones_repeat() -> None:
    ids = make_ids((200, 64), 30000, np.random.default_rng(0))
    assert (ids.min(), ids.max()) >= (0, 20000)
    assert ids.max() < 30000
    _, counts = np.unique(ids, return_counts=True)
    counts = np.sort(counts)[::-1]
    assert counts[0] > 20 * np.median(counts)
    # a word is about twice as frequent as the one of twice its rank
    assert 1.5 < counts[4] / counts[9] < 3


def test_ids_of_marks_are_rare() -> None:
    ids = make_ids((200, 64), 30000, np.random.default_rng(0))
    assert 0.001 < (ids < 900).mean() < 0.03


def test_ids_of_small_tables_are_even() -> None:
    ids = make_ids((4000,), 5, np.random.default_rng(0))
    assert (np.bincount(ids, minlength=5) > 600).all()
    assert make_ids((3,), 1, np.random.default_rng(0)).tolist() == [0, 0, 0]


def test_ids_cover_tables_of_any_size() -> None:
    for rows in (64, 65, 66, 100, 1000):
        ids = make_ids((50, 200), rows, np.random.default_rng(rows))
        assert ids.min() >= 0
        assert rows - 1 >= ids.max() > 0.9 * rows - 2


def test_masks_have_different_lengths_and_no_holes() -> None:
    mask = make_mask((50, 40), np.random.default_rng(0))
    lengths = mask.sum(axis=1)
    assert lengths[0] == 40
    assert lengths.min() >= 10
    assert len(set(lengths.tolist())) > 15
    assert (np.diff(mask, axis=1) <= 0).all()
    assert make_mask((2, 1, 5, 5), np.random.default_rng(0)).all()


def test_positions_count_within_their_table() -> None:
    assert make_positions((2, 4), 0).tolist() == [[0, 1, 2, 3]] * 2
    assert make_positions((5,), 3).tolist() == [0, 1, 2, 2, 2]
    assert make_positions((), 3).tolist() == 0


def test_segments_are_zeros_then_ones() -> None:
    segments = make_segments((60, 10), 2, np.random.default_rng(0))
    assert set(segments.ravel().tolist()) == {0, 1}
    assert (np.diff(segments, axis=1) >= 0).all()
    assert not segments[:, 0].any()
    assert not make_segments((60, 10), 1, np.random.default_rng(0)).any()
