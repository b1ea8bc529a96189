import numpy as np

from hparse_jax.data.buckets import bucket_size, few_buckets, group_by_bucket

MEAN = (123.675, 116.28, 103.53)
LADDER = (97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073)


def photo(index, height, width, output=None):
    """(item, image, size of the label maps wanted)."""
    rng = np.random.default_rng(index)
    image = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    return str(index), image, output or (height, width)


def test_sides_are_rounded_up_to_the_ladder():
    for side in range(1, 3074):
        expected = next(rung for rung in LADDER if rung >= side)
        assert bucket_size(side, 1) == (expected, 97)
        assert bucket_size(1, side) == (97, expected)


def test_every_photo_comes_out_once_in_the_corner_of_its_own_bucket():
    rng = np.random.default_rng(0)
    sizes = rng.integers(20, 280, (50, 2)).tolist()
    photos = [photo(i, *size) for i, size in enumerate(sizes)]
    seen = []
    for batch in group_by_bucket(iter(photos), 4, MEAN):
        assert len(batch.images) == len(batch.sizes) == len(batch.output_sizes) == 4
        for i, item in enumerate(batch.items):
            _, image, (h, w) = photos[int(item)]
            assert tuple(batch.sizes[i]) == tuple(batch.output_sizes[i]) == (h, w)
            assert batch.images[i].shape[:2] == batch.output_bucket == bucket_size(h, w)
            np.testing.assert_array_equal(batch.images[i, :h, :w], image)
            outside = np.ones(batch.images.shape[1:3], bool)
            outside[:h, :w] = False
            assert (batch.images[i][outside] == (124, 116, 104)).all()
        assert (batch.sizes[len(batch.items) :] == batch.images.shape[1:3]).all()
        seen += batch.items
    assert sorted(seen, key=int) == [item for item, *_ in photos]


def test_photos_share_a_batch_only_with_label_maps_of_one_bucket():
    outputs = [(90, 50), (200, 50), (97, 97), (250, 130)]
    photos = [photo(i, 60, 60, output) for i, output in enumerate(outputs)]
    batches = {tuple(b.items): b for b in group_by_bucket(photos, 2, MEAN)}
    assert set(batches) == {("0", "2"), ("1",), ("3",)}
    assert batches["0", "2"].output_bucket == (97, 97)
    assert batches["0", "2"].output_sizes.tolist() == [[90, 50], [97, 97]]
    assert batches["3",].output_sizes.tolist() == [[250, 130], [257, 193]]


def test_full_batches_go_out_at_once():
    taken = []

    def items():
        for i in range(6):
            taken.append(i)
            yield photo(i, 50, 50)

    batches = group_by_bucket(items(), 3, MEAN)
    assert next(batches).items == ["0", "1", "2"]
    assert taken == [0, 1, 2]


def test_few_photos_wait_whatever_the_sizes():
    taken = 0

    def items():
        nonlocal taken
        for i in range(60):
            taken += 1
            yield photo(i, LADDER[i % 6], LADDER[i // 6 % 6])

    given = 0
    for batch in group_by_bucket(items(), 2, MEAN):
        assert taken - given <= 8 * 2 + 1
        given += len(batch.items)
    assert given == 60


def test_few_buckets_hold_every_photo_in_a_small_set():
    rng = np.random.default_rng(0)
    seen = set()
    for longer in rng.integers(1, 1537, 2_000).tolist():
        size = longer, int(rng.integers(1, longer + 1))
        size = size if rng.random() < 0.5 else size[::-1]
        shown = tuple(max(1, round(side * 473 / longer)) for side in size)
        for sizes in ((size, size), (shown, size)):
            buckets = few_buckets(*sizes)
            seen.add(buckets)
            for small, large in zip(np.ravel(sizes), np.ravel(buckets), strict=True):
                assert small <= large
                assert large % 16 == 1
    assert len(seen) <= 24  # four sides in three shapes, of the photo itself or of a smaller one
