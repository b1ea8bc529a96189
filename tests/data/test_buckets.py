import numpy as np
import pytest

from hparse_jax.data.buckets import canvas_size, group_by_canvas

MEAN = (123.675, 116.28, 103.53)
LADDER = (97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073)


def photo(index, height, width):
    rng = np.random.default_rng(index)
    image = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    return str(index), image, rng.integers(0, 18, (height, width)).astype(np.uint8)


def test_sides_are_rounded_up_to_the_ladder():
    for side in range(1, 3074):
        expected = next(rung for rung in LADDER if rung >= side)
        assert canvas_size(side, 1) == (expected, 97)
        assert canvas_size(1, side) == (97, expected)


def test_every_photo_comes_out_once_in_the_corner_of_its_own_canvas():
    rng = np.random.default_rng(0)
    sizes = rng.integers(20, 280, (50, 2)).tolist()
    items = [photo(i, *size) for i, size in enumerate(sizes)]
    seen = []
    for batch in group_by_canvas(iter(items), 4, MEAN):
        assert len(batch.images) == len(batch.labels) == len(batch.sizes) == len(batch.valid) == 4
        assert batch.valid.tolist() == [i < len(batch.ids) for i in range(4)]
        for i, photo_id in enumerate(batch.ids):
            _, image, labels = items[int(photo_id)]
            h, w = labels.shape
            assert tuple(batch.sizes[i]) == (h, w)
            assert batch.images[i].shape[:2] == canvas_size(h, w)
            np.testing.assert_array_equal(batch.images[i, :h, :w], image)
            np.testing.assert_array_equal(batch.labels[i, :h, :w], labels)
            outside = np.ones(batch.labels.shape[1:], bool)
            outside[:h, :w] = False
            assert (batch.labels[i][outside] == 255).all()
            assert (batch.images[i][outside] == (124, 116, 104)).all()
        fill = ~batch.valid
        assert (batch.sizes[fill] == batch.images.shape[1:3]).all()
        assert (batch.labels[fill] == 255).all()
        seen += batch.ids
    assert sorted(seen, key=int) == [item[0] for item in items]


def test_full_batches_go_out_at_once():
    taken = []

    def items():
        for i in range(6):
            taken.append(i)
            yield photo(i, 50, 50)

    batches = group_by_canvas(items(), 3, MEAN)
    assert next(batches).ids == ["0", "1", "2"]
    assert taken == [0, 1, 2]


def test_few_photos_wait_whatever_the_sizes():
    taken = 0

    def items():
        nonlocal taken
        for i in range(60):
            taken += 1
            yield photo(i, LADDER[i % 6], LADDER[i // 6 % 6])

    given = 0
    for batch in group_by_canvas(items(), 2, MEAN):
        assert taken - given <= 8 * 2 + 1
        given += len(batch.ids)
    assert given == 60


@pytest.mark.parametrize("batch_size", [1, 3])
def test_photos_without_labels(batch_size):
    items = [(name, image, None) for name, image, _ in (photo(i, 50, 60) for i in range(4))]
    batches = list(group_by_canvas(items, batch_size, MEAN))
    assert all(batch.labels is None for batch in batches)
    assert [name for batch in batches for name in batch.ids] == ["0", "1", "2", "3"]
