import collections
import itertools
import multiprocessing
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest

from hparse_jax.config import Config
from hparse_jax.data.dataset import BuiltDataset
from hparse_jax.data.stream import TrainingStream, training_stream
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import Hierarchy, Level, get_hierarchy

HIERARCHY = get_hierarchy("fashion_clothing")


def opened(data_dir, hierarchy=HIERARCHY, shares=(0, 0, 1), **fields) -> TrainingStream:
    """The stream of the config's fields; shares: start_step, process_index, process_count."""
    config = Config(**{"batch_size": 4, "crop": (33, 41), "workers": 0, "seed": 3} | fields)
    return training_stream(BuiltDataset("fashion_clothing", data_dir), config, hierarchy, *shares)


def batches(data_dir, count, start_step=0, process_index=0, process_count=1, **fields):
    with opened(data_dir, shares=(start_step, process_index, process_count), **fields) as stream:
        return list(itertools.islice(stream, count))


def assert_equal(left, right):
    for a, b in zip(left, right, strict=True):
        assert sorted(a) == sorted(b) == ["id", "image", "label"]
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])


@pytest.fixture(scope="module")
def reference(built):
    return batches(built, 6)


def test_batches_are_uint8_crops_with_known_labels(reference):
    for batch in reference:
        assert batch["image"].shape == (4, 33, 41, 3)
        assert batch["label"].shape == (4, 33, 41)
        assert batch["image"].dtype == batch["label"].dtype == np.uint8
        assert set(np.unique(batch["label"])) <= {0, 8, 10, 11, 255}
        assert [type(str(i)) for i in batch["id"]] == [str] * 4


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_do_not_change_the_batches(built, reference, workers):
    assert_equal(batches(built, 6, workers=workers), reference)


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_share_the_global_batches(built, reference, processes):
    parts = [batches(built, 6, process_index=p, process_count=processes) for p in range(processes)]
    for step, batch in enumerate(reference):
        for key, value in batch.items():
            together = np.empty_like(value)
            for p, part in enumerate(parts):
                together[p::processes] = part[step][key]
            np.testing.assert_array_equal(together, value)


@pytest.mark.parametrize(("workers", "start"), [(0, 3), (2, 3), (0, 5)])
def test_starting_later_equals_iterating_there(built, reference, workers, start):
    later = batches(built, 6 - start, start_step=start, workers=workers)
    assert_equal(later, reference[start:])


def test_starting_far_away_needs_no_iterating(built):
    far = batches(built, 1, start_step=10**9)
    assert far[0]["image"].shape == (4, 33, 41, 3)


def test_another_seed_gives_other_batches(built, reference):
    assert any(
        (a["image"] != b["image"]).any()
        for a, b in zip(batches(built, 6, seed=4), reference, strict=True)
    )


def test_each_epoch_shows_every_photo_once_in_another_order_and_guise(built):
    steps = batches(built, 10, batch_size=1)  # 5 photos: two epochs
    ids = [str(step["id"][0]) for step in steps]
    assert sorted(ids[:5]) == sorted(ids[5:]) == [f"000{i}" for i in range(1, 6)]
    first = {str(s["id"][0]): s["image"] for s in steps[:5]}
    assert all((first[str(s["id"][0])] != s["image"]).any() for s in steps[5:])
    orders = {
        tuple(str(s["id"][0]) for s in batches(built, 5, 5 * epoch, batch_size=1))
        for epoch in range(4)
    }
    assert len(orders) > 1


def test_photos_are_rgb(built):
    """The photos have no red; their blue grows with the label."""
    batch = batches(built, 1, scale=(1.0, 1.0))[0]
    inside = batch["label"] == 8
    assert batch["image"][inside][:, 0].max() < 40
    assert batch["image"][inside][:, 2].mean() > 120


def test_flips_come_half_of_the_time_and_only_when_asked(built):
    def flipped(**fields):
        """The stripes' classes go 0, 10, 11, 8 from left to right, or the other way round."""
        directions = []
        for batch in batches(built, 16, scale=(1.0, 1.0), crop=(160, 100), **fields):
            for label in batch["label"]:
                row = label[(label != 255).any(1)][0]
                row = row[row != 255]
                directions.append(row[0] == 8)
        return np.mean(directions)

    assert flipped(flip=False) == 0
    assert 0.3 < flipped(flip=True) < 0.7


# the recipe of CNIF's follow-up
RECIPE = {"jitter": (0.1, 0.5, 0.5, 0.1), "rotation": 20.0}


def changed(built, **fields):
    """For 64 examples whether the colours, and whether the labels, differ from the plain photo's.

    One photo at a time, in a window of its own size: nothing else is left to chance.
    """
    plain = {}
    pairs = []
    for settings in ({}, fields):
        whole = {"scale": (1.0, 1.0), "crop": (64, 64), "flip": False, "batch_size": 1}
        for batch in batches(built, 320, **whole | settings):
            if str(batch["id"][0]) == "0005":  # 64 x 64 pixels
                image, label = batch["image"][0], batch["label"][0]
                if not settings:
                    plain = {"image": image, "label": label}
                else:
                    pairs.append(((image != plain["image"]).any(), (label != plain["label"]).any()))
    assert len(pairs) == 64
    return np.mean(pairs, 0), pairs


def test_jitter_and_rotation_come_together_half_of_the_time(built):
    shares, pairs = changed(built, jitter=RECIPE["jitter"], rotation=180.0)
    assert all(colours for colours, labels in pairs if labels)
    # a turn of less than a degree moves no label
    assert sum(colours and not labels for colours, labels in pairs) <= 1
    assert (abs(shares - 0.5) < 0.25).all()  # four standard deviations


def test_each_comes_without_the_other(built):
    jittered, _ = changed(built, jitter=RECIPE["jitter"])
    assert abs(jittered[0] - 0.5) < 0.25
    assert jittered[1] == 0
    rotated, _ = changed(built, rotation=20.0)
    assert (abs(rotated - 0.5) < 0.25).all()


def test_workers_do_not_change_augmented_batches(built):
    assert_equal(batches(built, 2, workers=1, **RECIPE), batches(built, 2, **RECIPE))


def test_memory_of_a_batch_is_its_own(built):
    """Changing a batch must not reach the next one, worker buffers are not handed out."""
    with opened(built, workers=1) as stream:
        first = next(stream)
        assert first["image"].flags.owndata
        first["image"][:] = 0
        assert next(stream)["image"].any()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_workers_end_with_a_killed_parent(built, tmp_path):
    script = tmp_path / "stream.py"
    script.write_text(
        "import multiprocessing, time\n"
        "from absl import flags\n"
        "from hparse_jax.config import Config\n"
        "from hparse_jax.data.dataset import BuiltDataset\n"
        "from hparse_jax.data.stream import training_stream\n"
        "if __name__ == '__main__':\n"
        "    flags.FLAGS.mark_as_parsed()\n"
        f"    dataset = BuiltDataset('fashion_clothing', {str(built)!r})\n"
        "    stream = training_stream(dataset, Config(workers=1), dataset.hierarchy)\n"
        "    next(stream)\n"
        "    print(*[child.pid for child in multiprocessing.active_children()], flush=True)\n"
        "    time.sleep(60)\n"
    )
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        workers = [int(pid) for pid in process.stdout.readline().split()]
        process.kill()
    assert len(workers) == 1
    deadline = time.monotonic() + 10
    while _alive(workers[0]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(workers[0])


def _alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_killed_worker_ends_the_stream_in_one_line(built):
    with opened(built, workers=2) as stream:
        next(stream)
        workers = [x for x in multiprocessing.active_children() if "grain" in x.name]
        assert len(workers) == 2
        workers[0].kill()
        workers[0].join()
        with pytest.raises(ChildProcessError, match=r"a worker .* has died \(SIGKILL, .*\); "):
            collections.deque(itertools.islice(stream, 20), maxlen=0)


def test_closing_twice_is_fine(built):
    stream = opened(built)
    next(stream)
    stream.close()
    stream.close()
    with pytest.raises(TypeError):
        next(stream)


def test_batches_must_divide_by_the_processes(built):
    with pytest.raises(InputError, match=r"config\.batch_size=4: .* 3 processes"):
        opened(built, shares=(0, 0, 3))


@pytest.mark.parametrize("workers", [0, 1])
def test_labels_outside_the_hierarchy_name_the_record(built, workers):
    small = Hierarchy("small", (Level("parts", ("background", "all"), ()),), (), ((0, 0, 0),) * 2)
    with (
        opened(built, small, workers=workers) as stream,
        pytest.raises(InputError, match=r"record 000\d: label id \d+ is not in hierarchy small"),
    ):
        next(stream)


def test_an_unknown_training_split_is_named_at_once(built):
    with pytest.raises(InputError, match="no split 'trian'; it has train, val"):
        opened(built, train_split="trian")


def test_scales_come_from_the_choices_where_there_are_some(built):
    """Whatever the range is; one choice is a range of no width."""
    chosen = batches(built, 2, scale=(0.5, 2.0), scale_choices=(0.75,))
    photos = [batch["image"] for batch in chosen]
    for other, equal in (((0.75,), True), ((1.5,), False)):
        again = batches(built, 2, scale=(1.0, 1.0), scale_choices=other)
        same = all((a["image"] == b).all() for a, b in zip(again, photos, strict=True))
        assert same == equal
