"""Raw folders with everything that goes wrong: all of it is told at once, none of it is built.

Every defect is a function that adds one to a folder and returns words of the line it must cause.
"""

import os
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image
from raw_folders import (
    GOOD,
    PALETTE,
    SIZE,
    encoded,
    good_folder,
    is_built,
    jpeg,
    metadata,
    png,
    put_label,
    put_photo,
    random_labels,
    records,
    turned_photo,
    write,
    write_people,
    write_sample,
)

from hparse_jax.data.build import build, check_raw
from hparse_jax.errors import InputError

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 12345\n"
HTML = "\n<!DOCTYPE html><html><title>404 Not Found</title></html>"


# Of photos and labels ----------------------------------------------------------------------------


def coloured_label(raw):
    colours = np.array(PALETTE, np.uint8)[random_labels(SIZE)]
    put_label(raw, "coloured", encoded(Image.fromarray(colours), "PNG"))
    return "labels/coloured.png", "a coloured RGB picture (4 colours of the hierarchy's palette)"


def label_in_three_channels(raw):
    grey = np.repeat(random_labels(SIZE)[..., None], 3, axis=2)
    put_label(raw, "threefold", encoded(Image.fromarray(grey), "PNG"))
    return "labels/threefold.png", "RGB picture whose channels are all the same"


def label_with_alpha(raw):
    pair = np.stack([random_labels(SIZE), np.full(SIZE, 255, np.uint8)], -1)
    put_label(raw, "alpha", encoded(Image.fromarray(pair, "LA"), "PNG"))
    return "labels/alpha.png", "LA picture whose channels are all the same"


def brightness_of_the_colours(raw):
    """What a viewer makes of a palette picture: 0.299 R + 0.587 G + 0.114 B."""
    put_label(raw, "brightness", png(np.array([0, 38, 75, 15], np.uint8)[random_labels(SIZE)]))
    return "labels/brightness.png", "label id 15, 38, 75 is not in hierarchy people (0..3 and 255)"


def id_after_the_last(raw):
    put_label(raw, "four", png(np.full(SIZE, 4)))
    return "labels/four.png", "label id 4 is not in hierarchy people"


def id_254(raw):
    put_label(raw, "almost", png(np.full(SIZE, 254)))
    return "labels/almost.png", "label id 254 is not in hierarchy people"


def label_of_another_size(raw):
    put_label(raw, "small", png(random_labels((6, 4))))
    return "labels/small.png", "6 x 4 labels", "6 x 5 pixels", "images/small.jpg"


def sixteen_bits(raw):
    put_label(raw, "sixteen", png(np.full(SIZE, 300), 16))
    return "labels/sixteen.png", "label id 300 in a 16-bit PNG"


def jpeg_as_label(raw):
    put_label(raw, "blurred", encoded(Image.fromarray(random_labels(SIZE)), "JPEG"))
    return "labels/blurred.png", "a JPEG, which blurs class ids"


def pointer_as_label(raw):
    put_label(raw, "pointer", LFS)
    return "labels/pointer.png", "Git-LFS pointer"


def empty_label(raw):
    put_label(raw, "vacant", b"")
    return "labels/vacant.png", "it is empty"


def label_cut_short(raw):
    put_label(raw, "halved", png(random_labels((60, 50)))[:-700])
    return "labels/halved.png", "not a whole PNG"


def label_for_the_turned_photo(raw):
    write(raw / "images" / "turned.jpg", turned_photo((6, 5)))
    write(raw / "labels" / "turned.png", png(random_labels((5, 6))))
    return "labels/turned.png", "5 x 6 labels", "6 x 5 pixels", "EXIF"


def label_on_its_side(raw):
    put_label(raw, "sideways", png(random_labels(SIZE[::-1])))
    return "labels/sideways.png", "5 x 6 labels", "a label has the size of its photo"


def photo_cut_short(raw):
    put_photo(raw, "cut", jpeg(SIZE)[:-20])
    return "images/cut.jpg", "not a whole JPEG or PNG", "truncated"


def web_page(raw):
    put_photo(raw, "page", HTML)
    return "images/page.jpg", "it is a web page"


def pointer_as_photo(raw):
    put_photo(raw, "pointing", LFS)
    return "images/pointing.jpg", "Git-LFS pointer"


def empty_photo(raw):
    put_photo(raw, "nothing", b"")
    return "images/nothing.jpg", "it is empty"


def moving_picture(raw):
    put_photo(raw, "moving", encoded(Image.new("L", SIZE[::-1]), "GIF"))
    return "images/moving.jpg", "it is no picture of this kind"


def folder_link(raw):
    """Of a folder with a photo in it, which must not be read."""
    outside = write(raw.parent / "elsewhere" / "album" / "private.jpg", jpeg(SIZE)).parent
    (raw / "images" / "album").symlink_to(outside)
    return "images/album: a link to", str(outside), "outside the raw folder"


def file_link(raw):
    outside = write(raw.parent / "elsewhere" / "secret.jpg", jpeg(SIZE))
    (raw / "images" / "linked.jpg").symlink_to(outside)
    return "images/linked.jpg: a link to", str(outside), "outside the raw folder"


def link_to_itself(raw):
    (raw / "images" / "ring.jpg").symlink_to("ring.jpg")
    return ("images/ring.jpg",)


def two_photos_of_one_stem(raw):
    picture = Image.fromarray(np.zeros((*SIZE, 3), np.uint8))
    put_photo(raw, "twin", jpeg(SIZE))
    write(raw / "images" / "twin.png", encoded(picture, "PNG"))
    return "images/twin.jpg", "images/twin.png has the same id"


DAMAGES = [
    coloured_label, label_in_three_channels, label_with_alpha, brightness_of_the_colours,
    id_after_the_last, id_254, label_of_another_size, sixteen_bits, jpeg_as_label,
    pointer_as_label, empty_label, label_cut_short, label_for_the_turned_photo, label_on_its_side,
    photo_cut_short,
    web_page, pointer_as_photo, empty_photo, moving_picture, folder_link, file_link,
    link_to_itself, two_photos_of_one_stem,
]  # fmt: skip


# Of folders without lists ------------------------------------------------------------------------


def photo_without_label(raw):
    write(raw / "images" / "lonely.jpg", jpeg(SIZE))
    return "images/lonely.jpg", "has no label labels/lonely.png"


def label_without_photo(raw):
    write(raw / "labels" / "orphan.png", png(random_labels(SIZE)))
    return "labels/orphan.png", "has no photo images/orphan.jpg"


# Of lists ----------------------------------------------------------------------------------------


def append(raw, split: str, line: str) -> None:
    with (raw / f"{split}.txt").open("a") as file:
        file.write(f"{line}\n")


def id_listed_twice(raw):
    append(raw, "train", "good0")
    return "train.txt", "lists good0 twice"


def id_in_two_lists(raw):
    append(raw, "val", "good1")
    return "images/good1.jpg", "id good1", "split val", "train"


def listed_photo_is_missing(raw):
    append(raw, "train", "away")
    write(raw / "labels" / "away.png", png(random_labels(SIZE)))
    return "train.txt", "lists away", "no photo"


def listed_label_is_missing(raw):
    append(raw, "val", "bare")
    write(raw / "images" / "bare.jpg", jpeg(SIZE))
    return "val.txt", "lists bare", "no label"


def id_above_the_folder(raw):
    append(raw, "train", "../labels/good0")
    return "train.txt", "'../labels/good0' leads out of the folder"


def absolute_id(raw):
    path = write(raw.parent / "elsewhere" / "absolute.jpg", jpeg(SIZE))
    append(raw, "train", str(path))
    return "train.txt", repr(str(path)), "leads out of the folder"


def empty_list(raw):
    write(raw / "test.txt", "\n \n")
    return "test.txt", "lists no photo"


LIST_DAMAGES = [
    id_listed_twice, id_in_two_lists, listed_photo_is_missing, listed_label_is_missing,
    id_above_the_folder, absolute_id, empty_list,
]  # fmt: skip


def hostile(folder, damages):
    """(raw folder, file of its classes, words that each damage's line must hold)."""
    raw, hierarchy = good_folder(folder)
    if id_listed_twice in damages:
        write(raw / "train.txt", "good0\ngood1\ngood2\ngood3\n")
        write(raw / "val.txt", "good4\ngood5\n")
    expected = {damage.__name__: damage(raw) for damage in damages}
    return raw, hierarchy, expected


@pytest.fixture(params=["photos", "lists"])
def bad(request, tmp_path):
    damages = [photo_without_label, label_without_photo, *DAMAGES]
    return hostile(tmp_path, damages if request.param == "photos" else LIST_DAMAGES)


def test_a_check_names_every_problem_on_a_line_of_its_own(bad):
    raw, hierarchy, expected = bad
    lines = check_raw("folder", raw, hierarchy).problems
    assert all("\n" not in line for line in lines)
    for damage, words in expected.items():
        told = [line for line in lines if all(word in line for word in words)]
        assert len(told) == 1, (damage, lines)
        lines.remove(told[0])
    assert lines == []


def test_a_strict_build_leaves_nothing(bad, tmp_path):
    raw, hierarchy, _ = bad
    with pytest.raises(InputError, match=r"\d+ problems in the raw files; check .*skip_bad"):
        build("folder", tmp_path / "data", raw, hierarchy=hierarchy)
    assert [path for path in (tmp_path / "data").rglob("*") if path.is_file()] == []
    assert not is_built(tmp_path / "data", "folder")


def test_a_build_that_may_skip_builds_the_rest_and_lists_what_it_left_out(bad, tmp_path):
    raw, hierarchy, _ = bad
    problems = check_raw("folder", raw, hierarchy).problems
    build("folder", tmp_path / "data", raw, hierarchy=hierarchy, skip_bad=True)
    assert sorted(metadata(tmp_path / "data", "folder")["skipped"]) == sorted(problems)
    built = {split: records(tmp_path / "data", "folder", split) for split in ("train", "val")}
    assert sorted([*built["train"], *built["val"]]) == GOOD
    for i, name in enumerate(GOOD):
        image, labels = (built["train"] | built["val"])[name]
        assert image == (raw / "images" / f"{name}.jpg").read_bytes()
        np.testing.assert_array_equal(labels, random_labels(SIZE, i))


@pytest.mark.parametrize("damage", [*DAMAGES, photo_without_label, label_without_photo])
def test_one_problem_stops_a_build_with_its_own_line(tmp_path, damage):
    raw, hierarchy, expected = hostile(tmp_path, [damage])
    with pytest.raises(InputError) as caught:
        build("folder", tmp_path / "data", raw, hierarchy=hierarchy)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in expected[damage.__name__]), message
    assert not is_built(tmp_path / "data", "folder")


def test_nothing_good_is_no_dataset(tmp_path):
    raw, hierarchy = good_folder(tmp_path)
    shutil.rmtree(raw / "labels")
    (raw / "labels").mkdir()
    with pytest.raises(InputError):
        build("folder", tmp_path / "data", raw, hierarchy=hierarchy, skip_bad=True)
    assert not is_built(tmp_path / "data", "folder")


def test_one_photo_is_too_few_for_two_splits(tmp_path):
    write_sample(tmp_path / "raw", "only")
    hierarchy = write_people(tmp_path / "people.json")
    with pytest.raises(InputError, match="train has no photos"):
        build("folder", tmp_path / "data", tmp_path / "raw", hierarchy=hierarchy)
    assert not is_built(tmp_path / "data", "folder")


def test_a_name_that_is_not_utf_8_is_told(tmp_path):
    """From an archive packed with another encoding; not every file system takes it."""
    raw, hierarchy = good_folder(tmp_path)
    for folder, suffix, data in (
        ("images", b".jpg", jpeg(SIZE)),
        ("labels", b".png", LFS.encode()),
    ):
        try:
            pathlib.Path(os.fsdecode(bytes(raw / folder) + b"/M\xfcller" + suffix)).write_bytes(
                data
            )
        except OSError:
            pytest.skip("this file system takes UTF-8 names only")
    assert any("UTF-8" in line for line in check_raw("folder", raw, hierarchy).problems)
    build("folder", tmp_path / "data", raw, hierarchy=hierarchy, skip_bad=True)
    built = [records(tmp_path / "data", "folder", split) for split in ("train", "val")]
    assert sorted([*built[0], *built[1]]) == GOOD


def test_samples_behind_a_link_within_the_folder_are_not_lost_in_silence(tmp_path):
    raw, hierarchy = good_folder(tmp_path)
    write_sample(raw, "more", folders=("day2/images", "day2/labels"))
    for folder in ("images", "labels"):
        (raw / folder / "day2").symlink_to(raw / "day2" / folder)
    problems = check_raw("folder", raw, hierarchy).problems
    for folder in ("images", "labels"):
        assert any(f"{folder}/day2: a link to a folder" in line for line in problems), problems


def test_a_list_that_is_a_link_out_of_the_folder_is_not_read(tmp_path):
    raw, hierarchy = good_folder(tmp_path)
    outside = write(tmp_path / "passwords.txt", "hunter2\n")
    (raw / "train.txt").symlink_to(outside)
    write(raw / "val.txt", "good1\n")
    problems = check_raw("folder", raw, hierarchy).problems
    assert any("train.txt: a link to" in line for line in problems)
    assert not any("hunter2" in line for line in problems)


def test_a_list_that_is_no_text_is_one_problem_of_many(tmp_path):
    raw, hierarchy = good_folder(tmp_path)
    write(raw / "train.txt", "good0\n")
    write(raw / "test.txt", b"\xff\xfe\x00good1")
    problems = check_raw("folder", raw, hierarchy).problems
    assert any("test.txt: not a text file" in line for line in problems)
