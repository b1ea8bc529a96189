"""The parser as a Python object, and where it is loaded from."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import hparse_jax
from hparse_jax.errors import InputError
from hparse_jax.inference import predictor as parser_module


def test_results_of_arrays_paths_and_lists_agree(tmp_path, parser, people):
    photo = people(90, 70)
    Image.fromarray(photo).save(tmp_path / "p.png")
    one = parser(photo)
    listed = parser([photo, tmp_path / "p.png", people(150, 40)])
    for result in (*listed[:2], parser(str(tmp_path / "p.png"))):
        np.testing.assert_array_equal(result.labels, one.labels)
    assert listed[2].labels.shape == (150, 40)
    assert parser([]) == []


def test_a_result_holds_every_level_at_the_photos_size(parser, people):
    result = parser(people(90, 70))
    assert [x.shape for x in result.levels] == [(90, 70)] * 2
    assert all(x.dtype == np.uint8 for x in result.levels)
    np.testing.assert_array_equal(result.labels, result.levels[0])
    assert result.names == ("background", "left", "right")
    assert result.gates[0]["direct"].shape == (3,)


def test_probabilities_sum_to_one_and_peak_at_the_label(make_parser, people):
    for parser in (make_parser(scales=(0.75, 1.0), flip=True), make_parser(max_side=64)):
        result = parser(people(90, 70))
        for level, nodes in ((0, 3), (1, 2)):
            p = result.probabilities(level)
            assert p.shape == (90, 70, nodes)
            assert p.dtype == np.float32
            np.testing.assert_allclose(p.sum(-1), 1, atol=1e-5)
    result = make_parser(scales=(0.75, 1.0), flip=True)(people(90, 70))
    p = result.probabilities(0)
    chosen = np.take_along_axis(p, result.labels[..., None].astype(int), -1)[..., 0]
    np.testing.assert_allclose(chosen, p.max(-1), atol=1e-5)
    with pytest.raises(InputError, match=r"levels 0\.\.1"):
        result.probabilities(2)


@pytest.mark.parametrize(
    "photo",
    [
        np.zeros((5, 5, 3), np.float32),
        np.zeros((5, 5), np.uint8),
        np.zeros((5, 5, 4), np.uint8),
        np.zeros((0, 5, 3), np.uint8),
        None,
    ],
)
def test_a_wrong_array_is_named(parser, photo):
    with pytest.raises(InputError, match="uint8"):
        parser(photo)


def test_tiny_photos_are_parsed(parser):
    assert parser(np.zeros((1, 1, 3), np.uint8)).labels.shape == (1, 1)


def test_logits_and_features_are_the_networks(parser):
    images = np.random.default_rng(0).normal(size=(2, 33, 49, 3)).astype(np.float32)
    logits = parser.logits(images)
    np.testing.assert_allclose(logits["parts"][..., 1], images[:, ::8, ::8, 0], rtol=1e-6)
    assert set(logits) == {"parts", "parts/direct", "body", "body/direct"}
    assert len(parser.features(images)) == 4
    with pytest.raises(InputError, match="float32"):
        parser.logits(np.zeros((2, 33, 49, 3), np.uint8))


def test_a_stream_reads_no_further_than_its_batches(make_parser, people):
    parser, taken = make_parser(), []

    def photos():
        for i in range(9):
            taken.append(i)
            yield i, people(60, 60)

    stream = parser.stream(photos(), batch_size=2)
    keys = [next(stream)[0], next(stream)[0]]
    assert (keys, len(taken)) == ([0, 1], 2)
    assert [key for key, _ in stream] == list(range(2, 9))


def test_load_parser_takes_a_workdir_or_one_checkpoint(
    tmp_path, monkeypatch, config, hierarchy, variables, network
):
    asked = []

    def load_run(workdir, step=None):
        asked.append((workdir, step))
        return SimpleNamespace(
            config=config, hierarchy=hierarchy, variables=variables, step=step or 9
        )

    monkeypatch.setattr(parser_module, "load_run", load_run)
    monkeypatch.setattr(parser_module, "build_model", lambda *_: network)
    assert hparse_jax.load_parser(tmp_path).step == 9
    assert hparse_jax.load_parser(str(tmp_path / "checkpoints" / "120")).step == 120
    assert asked == [(tmp_path, None), (tmp_path, 120)]
    with pytest.raises(InputError, match="step 120"):
        hparse_jax.load_parser(tmp_path / "checkpoints" / "120", step=3)
