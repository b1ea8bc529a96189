"""ATR: splits by its lists, or random with every family of photos in each."""

from raw_folders import assert_holds, metadata, records, stored, write, write_sample

from hparse_jax.data.build import build
from hparse_jax.data.raw import atr
from hparse_jax.data.raw.records import split_samples

FAMILIES = {"dataset10k": 150, "fash": 61, "Multi": 33, "997": 20, "2500": 12, "4565": 7}
ATR_SHARES = {"train": 6000 / 7700, "val": 700 / 7700, "test": 1000 / 7700}


def atr_folder(raw, families, folders=("JPEGImages", "SegmentationClassAug")):
    root = raw / "humanparsing"
    for family, photos in families.items():
        for i in range(photos):
            write_sample(root, f"{family}_{i + 1}", (3, 2), i, folders, 18)
    return root


def random_atr(raw) -> dict[str, set[str]]:
    splits = split_samples(atr.find(raw))
    return {split: {sample.id for sample in samples} for split, samples in splits.items()}


def test_every_family_of_atr_gives_its_share_to_every_random_split(tmp_path):
    atr_folder(tmp_path, FAMILIES)
    splits = random_atr(tmp_path)
    assert (
        sum(map(len, splits.values()))
        == sum(FAMILIES.values())
        == len(set().union(*splits.values()))
    )
    for split, share in ATR_SHARES.items():
        assert abs(len(splits[split]) - share * sum(FAMILIES.values())) <= 1
        for family, photos in FAMILIES.items():
            own = [i for i in splits[split] if i.startswith(f"{family}_")]
            assert abs(len(own) - share * photos) <= (1 if split != "train" else 2)


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


def test_atrs_lists_may_leave_out_a_split(tmp_path):
    root = atr_folder(tmp_path, {"fash": 4})
    write(root / "train_id.txt", "fash_1\nfash_2\n")
    write(root / "val_id.txt", "fash_4\n")
    build("atr", tmp_path / "data", tmp_path)
    assert set(records(tmp_path / "data", "atr", "train")) == {"fash_1", "fash_2"}
    assert set(records(tmp_path / "data", "atr", "val")) == {"fash_4"}
