"""CIHP arrives unchanged, in the layout of its archives and in the short one."""

import numpy as np
from raw_folders import (
    FIXTURES,
    assert_holds,
    jpeg,
    needs_fixtures,
    records,
    stored,
    write,
    write_sample,
)

from hparse_jax.data.build import build

CIHP = FIXTURES / "cihp"


@needs_fixtures
def test_cihp_arrives_unchanged_with_10_percent_held_out_for_validation(tmp_path):
    build("cihp", tmp_path, CIHP)
    ids = sorted(path.stem for path in (CIHP / "images").iterdir())
    held_out = ids[np.random.default_rng(0).permutation(len(ids))[0]]  # at least one
    for split, own in (("val", [held_out]), ("train", sorted({*ids} - {held_out}))):
        expected = {
            i: (CIHP / "images" / f"{i}.jpg", stored(CIHP / "labels" / f"{i}.png")) for i in own
        }
        assert_holds(records(tmp_path, "cihp", split), expected)


def test_cihp_in_its_own_layout(tmp_path):
    raw, expected = tmp_path / "CIHP", {}
    for seed, (split, folder) in enumerate((("train", "Training"), ("val", "Validation"))):
        folders = (f"{folder}/Images", f"{folder}/Category_ids")
        labels = write_sample(raw, f"000{seed}", seed=seed, folders=folders, classes=20)
        expected[split] = {f"000{seed}": (raw / folder / "Images" / f"000{seed}.jpg", labels)}
    photo = write(raw / "Testing" / "Images" / "0009.jpg", jpeg((3, 8)))
    expected["test"] = {"0009": (photo, np.full((3, 8), 255))}
    build("cihp", tmp_path / "data", tmp_path)
    for split, samples in expected.items():
        assert_holds(records(tmp_path / "data", "cihp", split), samples)
