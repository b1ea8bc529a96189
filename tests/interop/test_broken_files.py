"""Files of weights that are cut, changed or no such files are refused by name."""

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch_writer as w
from reading import KIND, TENSOR, assert_equal, assert_refused, entry, safetensors_bytes

from hparse_jax.errors import InputError
from hparse_jax.interop.torch_file import read_weights

GOOD = {"zip": w.zipped(w.mapping(x=TENSOR)), "legacy": w.legacy(w.mapping(x=TENSOR))}
GOOD["safetensors"] = safetensors_bytes({"x": entry()})


@pytest.mark.parametrize("form", GOOD)
def test_a_file_cut_short_anywhere_is_refused(here, form):
    data, file = GOOD[form], here / ("w.safetensors" if form == "safetensors" else "w.pth")
    file.write_bytes(data)
    assert_equal(read_weights(file), {"x": np.arange(4, dtype=np.float32)})
    for length in range(len(data)):
        file.write_bytes(data[:length])
        assert_refused(here, file)


@pytest.mark.parametrize("form", GOOD)
def test_a_file_with_a_changed_byte_is_read_or_refused(here, form):
    """Nothing but an InputError naming the file, or the one tensor, comes out."""
    rng = np.random.default_rng(0)
    file = here / ("w.safetensors" if form == "safetensors" else "w.pth")
    messages = []
    for _ in range(300):
        data = bytearray(GOOD[form])
        data[rng.integers(len(data))] = rng.integers(256)
        file.write_bytes(data)
        try:
            read = read_weights(file)
        except InputError as error:
            messages.append(str(error))
        else:
            assert len(read) == 1
    assert 0 < len(messages) < 300
    assert all(message.startswith(f"{file}: ") for message in messages)


def zip_of(*members, compression=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, raw in members:
            archive.writestr(name, raw)
    return stream.getvalue()


PICKLE = w.finished(w.mapping(x=TENSOR))


def overlapping():
    """A zip whose directory lists the same mebibyte a thousand times."""
    data = zip_of(("a/data.pkl", PICKLE), ("a/data/0", bytes(1 << 20)))
    end = data.index(b"PK\x05\x06")
    start = data.index(b"PK\x01\x02")
    first = data.index(b"PK\x01\x02", start + 4)
    pickles, one = data[start:first], data[first:end]
    copies = b"".join(one.replace(b"a/data/0", b"a/dat%03d" % i) for i in range(1000))
    directory = pickles + copies
    tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 1001, 1001, len(directory), start, 0)
    return data[:start] + directory + tail


def huge_member():
    """A zip whose numbers claim 4 GB."""
    data = zip_of(("a/data.pkl", PICKLE), ("a/data/0", w.FOUR))
    sizes = struct.pack("<II", 16, 16)
    return data.replace(sizes, struct.pack("<II", 2**32 - 2, 2**32 - 2))


BROKEN = {
    "empty": (b"", "empty"),
    "a Git-LFS pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 351000000\n",
        "Git-LFS pointer",
    ),
    "a web page": (b"\n <!DOCTYPE html><html><head></head></html>", "web page"),
    "a web page in capitals": (b"<HTML><BODY>Quota exceeded</BODY></HTML>", "web page"),
    "a web page with a byte order mark": (b"\xef\xbb\xbf<!doctype html>", "web page"),
    "an answer in XML": (b"<?xml version='1.0'?><Error>AccessDenied</Error>", "web page"),
    "a photo": (b"\xff\xd8\xff\xe0" + bytes(range(256)), "does not start like a PyTorch file"),
    "text": (b"not found\n", "does not start like a PyTorch file"),
    "a bare pickle": (pickle.dumps({"x": [1.0]}), "does not start like a PyTorch file"),
    "a zip of another kind": (zip_of(("readme.txt", b"hello")), "0 data.pkl"),
    "an empty zip": (zip_of(), "0 data.pkl"),
    "two data.pkl": (
        zip_of(("a/data.pkl", PICKLE), ("b/data.pkl", PICKLE), ("a/data/0", w.FOUR)),
        "2 data.pkl",
    ),
    "numbers that are missing": (zip_of(("a/data.pkl", PICKLE)), "truncated"),
    "fewer numbers than promised": (
        zip_of(("a/data.pkl", PICKLE), ("a/data/0", w.FOUR[:15])),
        "truncated",
    ),
    "numbers in another folder": (
        zip_of(("a/data.pkl", PICKLE), ("b/data/0", w.FOUR)),
        "truncated",
    ),
    "compressed members": (
        zip_of(
            ("a/data.pkl", PICKLE), ("a/data/0", bytes(10**7)), compression=zipfile.ZIP_DEFLATED
        ),
        "compressed",
    ),
    "members that overlap": (overlapping(), "more bytes than it has"),
    "a member of 4 GB": (huge_member(), "more bytes than it has"),
    "big-endian, zip": (
        zip_of(("a/data.pkl", PICKLE), ("a/byteorder", b"big"), ("a/data/0", w.FOUR)),
        "big-endian",
    ),
    "big-endian, older form": (
        w.legacy(w.mapping(x=TENSOR), little_endian=False),
        "big-endian",
    ),
    "a negative count, older form": (w.legacy(w.mapping(x=TENSOR), {"0": (-4, b"")}), "truncated"),
    "a huge count, older form": (w.legacy(w.mapping(x=TENSOR), {"0": (2**62, b"")}), "truncated"),
    "a part of a storage, older form": (
        w.legacy(
            w.mapping(
                x=w.tensor(
                    w.many(
                        *(w.text("storage"), KIND, w.text("0"), w.text("cpu"), w.whole(4)),
                        w.many(w.text("1"), w.whole(2), w.whole(2)),
                    )
                    + b"Q"
                )
            )
        ),
        "a part of another",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_named_with_its_reason(here, case):
    data, reason = BROKEN[case]
    (here / "w.pth").write_bytes(data)
    assert_refused(here, here / "w.pth", match=reason)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(here):
    data = zip_of(("a/data.pkl", PICKLE), ("a/data.pkl", PICKLE), ("a/data/0", w.FOUR))
    (here / "w.pth").write_bytes(data)
    assert_refused(here, here / "w.pth", match="the same name")


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("start", [b"", b"PK\x03\x04", b"\x80\x02", pickle.dumps(w.MAGIC, 2)])
def test_random_bytes_are_refused(here, seed, start):
    data = start + np.random.default_rng(seed).bytes(500)
    for name in ("w.pth", "w.safetensors"):
        (here / name).write_bytes(data)
        assert_refused(here, here / name)


@pytest.mark.parametrize(
    "data",
    [
        safetensors_bytes({"x": entry()}, size=2**63),
        safetensors_bytes({"x": entry()}, size=0),
        safetensors_bytes({"x": entry(offsets=(0, 17))}),
        safetensors_bytes({"x": entry(offsets=(4, 16))}),
        safetensors_bytes({"x": entry(shape=(2**40, 2**40))}),
        safetensors_bytes({"x": entry(shape=(-4,))}),
        safetensors_bytes({"x": entry(), "y": entry()}),
        safetensors_bytes({"x": entry("C64", (2,))}),
        safetensors_bytes({"x": entry("F99")}),
        safetensors_bytes([1, 2]),
        safetensors_bytes({"x": [[[[]]]]}),
        struct.pack("<Q", 100_000) + b"[" * 100_000,
        GOOD["zip"],
        GOOD["legacy"],
    ],
)
def test_broken_safetensors_are_refused(here, data):
    (here / "w.safetensors").write_bytes(data)
    assert_refused(here, here / "w.safetensors")


def test_what_is_not_there_or_no_file_is_named(here):
    (here / "folder.pth").mkdir()
    for name in ("folder.pth", "missing.pth", "missing/w.pth"):
        assert_refused(here, here / name, match="give a file")
