"""ATR: splits by its lists, or random with every family of photos in each; Chictopia on demand."""

import pytest
from raw_folders import assert_holds, metadata, records, stored, write, write_sample

from hparse_jax.data.build import build
from hparse_jax.data.dataset import BuiltDataset
from hparse_jax.data.raw import atr
from hparse_jax.data.raw.records import split_samples
from hparse_jax.data.raw.source import Sample, random_splits
from hparse_jax.errors import InputError

FAMILIES = {"fash": 61, "Multi": 33, "997": 20, "2500": 12, "4565": 7}
WITH_CHICTOPIA = {"dataset10k": 150, **FAMILIES}
# the photos that are distributed, counted; in the paper 7,700 (CNIF section 4.1)
COUNTS = {"fash": 685, "Multi": 435, "997": 805, "2500": 2476, "4565": 3302}
ATR_SHARES = {"train": 6000 / 7700, "val": 700 / 7700, "test": 1000 / 7700}


def atr_folder(raw, families, folders=("JPEGImages", "SegmentationClassAug")):
    root = raw / "humanparsing"
    for family, photos in families.items():
        for i in range(photos):
            write_sample(root, f"{family}_{i + 1}", (3, 2), i, folders, 18)
    return root


def random_atr(raw, **options) -> dict[str, set[str]]:
    splits = split_samples(atr.find(raw, **options))
    return {split: {sample.id for sample in samples} for split, samples in splits.items()}


@pytest.mark.parametrize(
    ("families", "options"), [(FAMILIES, {}), (WITH_CHICTOPIA, {"chictopia": True})]
)
def test_every_family_of_atr_gives_its_share_to_every_random_split(families, options, tmp_path):
    atr_folder(tmp_path, WITH_CHICTOPIA)
    splits = random_atr(tmp_path, **options)
    assert (
        sum(map(len, splits.values()))
        == sum(families.values())
        == len(set().union(*splits.values()))
    )
    for split, share in ATR_SHARES.items():
        assert abs(len(splits[split]) - share * sum(families.values())) <= 1
        for family, photos in families.items():
            own = [i for i in splits[split] if i.startswith(f"{family}_")]
            assert abs(len(own) - share * photos) <= (1 if split != "train" else 2)


def test_the_random_splits_of_atr_have_the_papers_sizes():
    """6,000 : 700 : 1,000; the three photos beyond 7,700 are for training."""
    samples = [
        Sample(f"{family}_{i}", "", family=family)
        for family, photos in COUNTS.items()
        for i in range(photos)
    ]
    held_out = list(random_splits(samples, atr.SHARES).values())
    assert (held_out.count("val"), held_out.count("test")) == (700, 1000)
    assert len(samples) - len(held_out) == 6003


def test_chictopia_is_left_out_and_counted_unless_it_is_asked_for(tmp_path):
    families = {"fash": 8, "997": 6, "dataset10k": 5}
    atr_folder(tmp_path / "raw", families)
    build("atr", tmp_path / "without", tmp_path / "raw")
    build("atr", tmp_path / "with", tmp_path / "raw", chictopia=True)
    for name, left_out in (("without", 5), ("with", 0)):
        built = [set(records(tmp_path / name, "atr", split)) for split in ATR_SHARES]
        assert sum(map(len, built)) == 19 - left_out
        assert sum(i.startswith("dataset10k_") for ids in built for i in ids) == 5 - left_out
        assert metadata(tmp_path / name, "atr")["chictopia_left_out"] == left_out
    with pytest.raises(InputError, match=r"was built without chictopia; remove"):
        build("atr", tmp_path / "without", tmp_path / "raw", chictopia=True)


def test_a_photo_of_chictopia_that_is_left_out_need_not_be_whole(tmp_path):
    root = atr_folder(tmp_path, {"fash": 6, "dataset10k": 2})
    (root / "SegmentationClassAug" / "dataset10k_1.png").unlink()
    assert atr.find(tmp_path).problems == []
    assert len(atr.find(tmp_path, chictopia=True).problems) == 1


def test_atrs_splits_are_the_same_every_time_and_called_random(tmp_path):
    families = {"fash": 12, "997": 11}
    for name in ("a", "b"):
        atr_folder(tmp_path / name, families)
        build("atr", tmp_path / name / "data", tmp_path / name)
    chosen = random_atr(tmp_path / "a")
    for name in ("a", "b"):
        data_dir = tmp_path / name / "data"
        assert {s: set(records(data_dir, "atr", s)) for s in ATR_SHARES} == chosen
        assert metadata(data_dir, "atr")["splits"].startswith("random with seed 0")


def test_atrs_lists_are_kept_to(tmp_path):
    root = atr_folder(tmp_path, {"fash": 6})
    lists = {"train": ["fash_6", "fash_2"], "val": ["fash_1"], "test": ["fash_5"]}
    for split, ids in lists.items():
        write(root / f"{split}_id.txt", "\n".join(ids))
    build("atr", tmp_path / "data", tmp_path)
    assert metadata(tmp_path / "data", "atr")["splits"] == "lists of the raw folder"
    for split, ids in lists.items():
        expected = {
            i: (
                root / "JPEGImages" / f"{i}.jpg",
                stored(root / "SegmentationClassAug" / f"{i}.png"),
            )
            for i in ids
        }
        assert_holds(records(tmp_path / "data", "atr", split), expected)


@pytest.mark.parametrize("held_out", ["val", "test"])
def test_atrs_lists_may_leave_out_a_split(held_out, tmp_path):
    """The public lists are of train and test, without line end after the last id."""
    root = atr_folder(tmp_path, {"fash": 4, "997": 1, "dataset10k": 1})
    write(root / "train_id.txt", "fash_1\nfash_2\ndataset10k_1")
    write(root / f"{held_out}_id.txt", "fash_4\n997_1")
    build("atr", tmp_path / "data", tmp_path)
    train = {"fash_1", "fash_2", "dataset10k_1"}  # lists decide, Chictopia or not
    assert set(records(tmp_path / "data", "atr", "train")) == train
    assert set(records(tmp_path / "data", "atr", held_out)) == {"fash_4", "997_1"}
    assert set(BuiltDataset("atr", tmp_path / "data").splits) == {"train", held_out}
    with pytest.raises(InputError, match=r"chictopia: the lists in .* decide"):
        build("atr", tmp_path / "more", tmp_path, chictopia=True)
