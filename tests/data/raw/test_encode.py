"""What `encode` lets through, training can read: broken files are refused or mended, never kept."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from raw_folders import (
    PEOPLE,
    encoded,
    jpeg,
    png,
    random_labels,
)

from hparse_jax.data.dataset import decode
from hparse_jax.data.raw.encode import encode
from hparse_jax.data.raw.labels import png_labels
from hparse_jax.data.raw.source import Sample, Source
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import hierarchy_from_json

HIERARCHY = hierarchy_from_json(PEOPLE)
LABELS = random_labels((12, 9))
PIXELS = np.random.default_rng(0).integers(0, 256, (12, 9, 3), np.uint8)
FILES = {
    "label": png(LABELS),
    "JPEG": jpeg((12, 9)),
    "PNG": encoded(Image.fromarray(PIXELS), "PNG"),
}


def assert_survives(kind: str, data: bytes) -> None:
    """That a sample with this file as its photo or label is refused, or is read with its labels."""
    photo, label = (FILES["JPEG"], data) if kind == "label" else (data, FILES["label"])
    sample = Sample("a", "a.jpg", "a.png", "train")
    source = Source(
        HIERARCHY,
        [sample],
        read_image=lambda sample: photo,
        read_labels=lambda sample: png_labels(label, "a.png", HIERARCHY),
        place=lambda sample, name: name,
    )
    try:
        made = encode(source, sample)
    except InputError:
        return
    record = {"id": b"a", "image": made.image, "label": made.label}
    _, image, labels = decode(record, HIERARCHY)
    assert image.shape == (12, 9, 3)
    np.testing.assert_array_equal(labels, np.asarray(Image.open(io.BytesIO(label))))


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of odd metadata
@pytest.mark.parametrize("kind", FILES)
def test_a_file_cut_anywhere(kind):
    for length in range(len(FILES[kind])):
        assert_survives(kind, FILES[kind][:length])


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from(list(FILES)),
    changes=st.lists(st.tuples(st.integers(0, 10**4), st.integers(0, 255)), max_size=4),
)
def test_a_file_with_changed_bytes(kind, changes):
    data = bytearray(FILES[kind])
    for place, value in changes:
        data[place % len(data)] = value
    assert_survives(kind, bytes(data))


def test_a_label_that_misses_only_its_last_bytes_is_kept_or_refused_with_its_name():
    """Pillow reads it, OpenCV does not."""
    with Image.open(io.BytesIO(FILES["label"][:-5])) as picture:
        np.testing.assert_array_equal(np.asarray(picture), LABELS)
    assert_survives("label", FILES["label"][:-5])
