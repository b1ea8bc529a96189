"""Finding, naming, reading and writing files."""

import io
import os
import socket
import struct

import numpy as np
import pytest
from PIL import Image

from hparse_jax.errors import InputError
from hparse_jax.inference import photos
from hparse_jax.inference.photos import (
    TooManyPixels,
    decode_photo,
    find_photos,
    read_photo,
    read_reduced,
)

ENDINGS = (".png", "_overlay.jpg", ".json")


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def names(photos, output):
    return sorted(str(photo.results.relative_to(output)) for photo in photos)


def test_folders_are_searched_and_relative_paths_kept(tmp_path):
    touch(tmp_path / "in", "a.jpg", "sub/deep/b.JPEG", "sub/c.webp", "notes.txt", ".hidden.jpg")
    touch(tmp_path, "single.odd")
    photos = find_photos([tmp_path / "in", str(tmp_path / "single.odd")], tmp_path / "out", ENDINGS)
    assert names(photos, tmp_path / "out") == ["a", "single", "sub/c", "sub/deep/b"]


def test_a_name_is_cut_at_its_suffix_only(tmp_path):
    touch(tmp_path / "in", "v1.2.final.jpeg")
    (photo,) = find_photos([tmp_path / "in"], tmp_path / "out", ENDINGS)
    assert photo.result("_overlay.jpg") == tmp_path / "out" / "v1.2.final_overlay.jpg"


def test_photos_of_one_stem_keep_their_suffix(tmp_path):
    touch(tmp_path / "in", "x.jpg", "x.png", "y.jpg", "sub/x.jpg")
    photos = find_photos([tmp_path / "in"], tmp_path / "out", ENDINGS)
    assert names(photos, tmp_path / "out") == ["sub/x", "x_jpg", "x_png", "y"]


def test_the_output_folder_inside_the_input_is_not_read(tmp_path):
    touch(tmp_path, "a.jpg", "out/a.png", "out/a_overlay.jpg")
    photos = find_photos([tmp_path], tmp_path / "out", ENDINGS)
    assert [photo.path.name for photo in photos] == ["a.jpg"]


def test_the_same_photo_given_twice_is_parsed_once(tmp_path):
    touch(tmp_path, "a.jpg")
    assert len(find_photos([tmp_path, tmp_path / "a.jpg"], tmp_path / "out", ENDINGS)) == 1


@pytest.mark.parametrize(
    "files",
    [
        ("one/x.jpg", "two/x.jpg"),  # two folders, one relative path
        ("one/x.jpg", "two/X.jpg"),  # the same on a file system that ignores case
        ("one/x.jpg", "one/x.png", "two/x_jpg.png"),  # the kept suffix makes a taken name
    ],
)
def test_results_that_would_overwrite_each_other_are_refused(tmp_path, files):
    touch(tmp_path, *files)
    with pytest.raises(InputError, match="into different folders"):
        find_photos([tmp_path / "one", tmp_path / "two"], tmp_path / "out", ENDINGS)


def test_the_names_of_coarser_levels_collide_too(tmp_path):
    touch(tmp_path / "in", "x.jpg", "x_body.jpg")
    find_photos([tmp_path / "in"], tmp_path / "out", ENDINGS)
    with pytest.raises(InputError, match="x_body"):
        find_photos([tmp_path / "in"], tmp_path / "out", (*ENDINGS, "_body.png"))


def test_a_photo_is_never_overwritten(tmp_path):
    touch(tmp_path / "in", "x.png")
    with pytest.raises(InputError, match="give another one"):
        find_photos([tmp_path / "in"], tmp_path / "in", ENDINGS)
    with pytest.raises(InputError, match="own folder"):
        find_photos([tmp_path / "in" / "x.png"], tmp_path / "in" / "." / "", ENDINGS)
    touch(tmp_path, "in/sub/x.jpg", "out/sub/x.png")
    with pytest.raises(InputError, match=r"out/sub/x\.png would be written for .*in/sub/x\.jpg"):
        find_photos([tmp_path / "in", tmp_path / "out/sub/x.png"], tmp_path / "out", ENDINGS)


def test_a_file_of_the_whole_call_is_not_overwritten(tmp_path):
    touch(tmp_path / "in", "all.jpg", "sub/all.jpg")
    find_photos([tmp_path / "in" / "sub"], tmp_path / "out", ENDINGS, ("other.json",))
    with pytest.raises(InputError, match=r"all\.jpg and belongs to the whole call"):
        find_photos([tmp_path / "in"], tmp_path / "out", ENDINGS, ("all.json",))


def test_photos_have_names_of_their_own(tmp_path):
    touch(tmp_path / "in", "x.jpg", "x.png", "sub/x.jpg")
    photos = find_photos([tmp_path / "in"], tmp_path / "out", ENDINGS)
    assert sorted(photo.name for photo in photos) == ["sub/x.jpg", "x.jpg", "x.png"]


def test_bytes_are_read_as_the_file_is(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    np.testing.assert_array_equal(decode_photo(data, "b"), pixels)
    with pytest.raises(InputError, match="b: not a readable photograph"):
        decode_photo(data[:40], "b")


def test_no_photo_is_an_error_that_names_the_folder(tmp_path):
    with pytest.raises(InputError, match=str(tmp_path)):
        find_photos([tmp_path], tmp_path / "out", ENDINGS)
    with pytest.raises(InputError, match="given"):
        find_photos([], tmp_path / "out", ENDINGS)


GREY = np.linspace(0, 255, 12 * 10).reshape(12, 10).astype(np.uint8)


def save(path, array, mode=None, **options):
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def test_grey_modes_become_equal_channels(tmp_path):
    for mode in ("L", "LA", "P", "RGBA"):
        rgb = read_photo(save(tmp_path / f"{mode}.png", GREY, mode))
        assert rgb.dtype == np.uint8
        np.testing.assert_array_equal(rgb, np.repeat(GREY[..., None], 3, -1), err_msg=mode)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path, suffix):
    deep = GREY.astype(np.uint16) * 257
    rgb = read_photo(save(tmp_path / f"deep.{suffix}", deep))
    np.testing.assert_array_equal(rgb[..., 0], GREY)


def test_pixels_without_a_known_range_are_refused(tmp_path):
    for name, array in (("f", GREY / 255), ("i", GREY.astype(np.int32) * 1000)):
        with pytest.raises(InputError, match="8 or 16 bits"):
            read_photo(
                save(
                    tmp_path / f"{name}.tif", array.astype(np.float32 if name == "f" else np.int32)
                )
            )


def test_one_bit(tmp_path):
    rgb = read_photo(save(tmp_path / "bits.png", (GREY > 99).astype(np.uint8) * 255, "1"))
    np.testing.assert_array_equal(rgb[..., 1], np.where(GREY > 99, 255, 0))


def test_cmyk_is_close_to_the_rgb_it_was_made_from(tmp_path):
    colours = np.zeros((16, 16, 3), np.uint8) + np.array([200, 60, 90], np.uint8)
    rgb = read_photo(save(tmp_path / "print.jpg", colours, "CMYK", quality=95))
    assert np.abs(rgb.astype(int) - colours).max() <= 4


def test_transparency_lies_over_white(tmp_path):
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[:2] = (200, 0, 0, 255)
    rgb = read_photo(save(tmp_path / "cut.png", rgba))
    np.testing.assert_array_equal(rgb[0, 0], (200, 0, 0))
    np.testing.assert_array_equal(rgb[3, 3], (255, 255, 255))
    indexed = Image.fromarray(np.array([[0, 1]], np.uint8))
    indexed.putpalette([10, 20, 30, 40, 50, 60])
    indexed.save(tmp_path / "palette.png", transparency=1)
    np.testing.assert_array_equal(
        read_photo(tmp_path / "palette.png"), [[[10, 20, 30], [255, 255, 255]]]
    )


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, lambda x: x),
        (2, lambda x: x[:, ::-1]),
        (3, lambda x: x[::-1, ::-1]),
        (4, lambda x: x[::-1]),
        (5, lambda x: x.transpose(1, 0, 2)),
        (6, lambda x: np.rot90(x, -1)),
        (7, lambda x: x[::-1, ::-1].transpose(1, 0, 2)),
        (8, lambda x: np.rot90(x, 1)),
    ],
)
def test_the_exif_orientation_is_applied(tmp_path, orientation, upright):
    stored = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(tmp_path / "turned.png", stored, exif=exif)
    np.testing.assert_array_equal(read_photo(tmp_path / "turned.png"), upright(stored))


def test_a_damaged_exif_block_is_named_and_not_a_traceback(tmp_path, monkeypatch):
    def damaged(image):
        raise struct.error("required argument is not an integer")

    monkeypatch.setattr("PIL.ImageOps.exif_transpose", damaged)
    with pytest.raises(InputError, match=r"bad\.png"):
        read_photo(save(tmp_path / "bad.png", np.zeros((4, 4, 3), np.uint8)))


def test_what_cannot_be_read_is_named_in_one_line(tmp_path):
    whole = save(tmp_path / "whole.jpg", np.zeros((64, 64, 3), np.uint8)).read_bytes()
    broken = {
        "empty.jpg": b"",
        "text.jpg": b"not a picture",
        "cut.jpg": whole[: len(whole) // 2],
    }
    for name, data in broken.items():
        (tmp_path / name).write_bytes(data)
    for name in (*broken, "missing.jpg"):
        with pytest.raises(InputError, match=name) as caught:
            read_photo(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_what_is_no_file_is_called_what_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo(tmp_path / "fifo.jpg")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.jpg")  # a longer path may be too long
    for name, reason in (
        ("fifo.jpg", "a pipe, a socket or a device; give a file"),
        ("socket.jpg", "a pipe, a socket or a device; give a file"),
        ("loop.jpg", r"cannot be opened \(.*symbolic links\)"),
        (f"{'long' * 80}.jpg", r"cannot be opened \(.*too long\)"),
    ):
        (photo,) = find_photos([tmp_path / name], tmp_path / "out", ENDINGS)
        with pytest.raises(InputError, match=f"{name}: {reason}"):
            read_photo(photo.path)
    with pytest.raises(InputError, match="the photographs' own folder"):
        find_photos([tmp_path / "loop.jpg" / "x.jpg"], tmp_path / "loop.jpg", ENDINGS)


def test_names_are_printed_in_one_line(tmp_path):
    for name, shown in ((b"a\nb.jpg", r"a\nb.jpg"), (b"\xff\x1b[2J.jpg", r"\udcff\x1b[2J.jpg")):
        with pytest.raises(InputError) as caught:
            read_photo(tmp_path / os.fsdecode(name))
        assert str(caught.value) == f"{tmp_path / shown}: no such file; check the name"


@pytest.mark.parametrize(
    ("orientation", "stored", "own"), [(1, (128, 96), (96, 128)), (6, (96, 128), (96, 128))]
)
def test_large_jpegs_come_reduced_with_their_own_size(
    tmp_path, monkeypatch, orientation, stored, own
):
    """stored: (width, height) in the file; turned by a quarter in the second case."""
    ramp = np.linspace(0, 255, stored[1] * stored[0]).reshape(stored[1], stored[0]).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.dstack([ramp] * 3)).save(tmp_path / "a.jpg", exif=exif, quality=95)
    whole = read_photo(tmp_path / "a.jpg")
    assert whole.shape[:2] == own
    unchanged, size = read_reduced(tmp_path / "a.jpg", 1)
    np.testing.assert_array_equal(unchanged, whole)  # not large
    monkeypatch.setattr(photos, "LARGE", 5000)
    for side, factor in ((128, 1), (64, 2), (40, 2), (32, 4), (1, 8)):
        reduced, size = read_reduced(tmp_path / "a.jpg", side)
        assert size == own
        assert reduced.shape == (own[0] // factor, own[1] // factor, 3)
        blocks = whole.reshape(own[0] // factor, factor, own[1] // factor, factor, 3)
        np.testing.assert_allclose(reduced, blocks.mean((1, 3)), atol=3)
    Image.fromarray(whole).save(tmp_path / "a.png")  # has no reduced sizes
    np.testing.assert_array_equal(read_reduced(tmp_path / "a.png", 1)[0], whole)


def test_bytes_are_decoded_like_their_file(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "a.jpg")
    decoded = decode_photo((tmp_path / "a.jpg").read_bytes(), "upload", 63)
    np.testing.assert_array_equal(decoded, read_photo(tmp_path / "a.jpg"))


def test_bytes_of_too_many_pixels_are_refused_by_their_header(tmp_path):
    Image.new("RGB", (9, 7)).save(tmp_path / "a.png")
    head = (tmp_path / "a.png").read_bytes()[:60]  # the pixels are not there
    with pytest.raises(TooManyPixels, match=r"upload: 9 x 7 pixels; give .* at most 62"):
        decode_photo(head, "upload", 62)


@pytest.mark.parametrize("kind", ["PPM", "EPS", "ICO", "PDF"])
def test_bytes_of_other_kinds_are_not_opened(kind):
    buffer = io.BytesIO()
    Image.new("RGB", (9, 7)).save(buffer, kind)
    with pytest.raises(InputError, match=r"upload: not a readable photograph \(cannot identify"):
        decode_photo(buffer.getvalue(), "upload", 100)
