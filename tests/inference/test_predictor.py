"""The predictor as a Python object, and where it is loaded from."""

import numpy as np
import pytest
from PIL import Image

import hparse_jax
from hparse_jax.checkpoint import save_backbone, save_run
from hparse_jax.config import Config, ModelConfig
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.inference.predictor import Predictor
from hparse_jax.models.build import build_backbone, build_model, initial_variables
from hparse_jax.workdir import BackboneSettings


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


def test_a_level_goes_by_its_index_or_its_name(parser, people):
    result = parser(people(90, 70))
    for level, name in enumerate(("parts", "body")):
        np.testing.assert_array_equal(result.probabilities(name), result.probabilities(level))
    for wrong in (2, -1, "prts", ""):
        with pytest.raises(InputError, match=r"levels 0\.\.1: parts, body"):
            result.probabilities(wrong)


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
    items = [next(stream)[0], next(stream)[0]]
    assert (items, len(taken)) == ([0, 1], 4)  # the next batch is on the device
    assert [item for item, _ in stream] == list(range(2, 9))


def test_every_bucket_is_announced_once_before_it_is_compiled(parser, people):
    told = []
    sizes = [(90, 70), (60, 60), (120, 90), (50, 97)]
    photos = ((i, people(*size)) for i, size in enumerate(sizes))
    assert len(list(parser.stream(photos, 1, told.append))) == 4
    assert told == [f"compiling for photographs up to 97 x {side}" for side in (97, 129)]


def test_at_its_own_longer_side_a_photo_is_parsed_as_it_is(make_parser, people):
    photo = people(120, 90)
    np.testing.assert_array_equal(make_parser(side=120)(photo).labels, make_parser()(photo).labels)


def test_a_small_side_shows_means_of_pixels(make_parser):
    """Every 8th column, all that the network would see of the photo, has the other side's colour;
    at a third of the size each pixel is a mean of three columns, two of them right."""
    columns = np.arange(72)
    labels = np.tile(np.where(columns < 36, 1, 2).astype(np.uint8), (96, 1))
    seen = np.where(columns % 8 == 0, 3 - labels, labels)
    image = np.array([[0, 0, 0], [250, 40, 40], [40, 40, 250]], np.uint8)[seen]
    assert (make_parser()(image).labels == labels).mean() < 0.1
    small = make_parser(side=32)(image)
    assert small.labels.shape == labels.shape
    assert (small.labels == labels).mean() > 0.95
    assert small.probabilities(0).shape == (*labels.shape, 3)


def test_the_network_sees_a_photo_at_the_side(make_parser, traces, people):
    make_parser(side=200)(people(30, 20))
    assert traces.seen == [(1, 257, 193, 3)]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A workdir with random weights of a small network, as step 0."""
    folder = tmp_path_factory.mktemp("run")
    model = ModelConfig(name="deeplab_v2", width=0.02, dtype="float32")
    lip = get_hierarchy("lip")
    variables = initial_variables(build_model(model, lip), 0)
    save_run(folder, Config(dataset="lip", model=model), lip.leaves_only(), variables)
    return folder


def test_by_default_photos_are_shown_at_the_configs_side(make_parser, config, traces, people):
    config.eval_side = 129
    make_parser()(people(194, 97))
    make_parser(side=0)(people(194, 97))
    assert traces.seen == [(1, 129, 97, 3), (1, 257, 97, 3)]  # 129 x 65 and 194 x 97 in buckets


def test_large_photos_are_shown_at_the_scale_of_the_training(make_parser, config, traces, people):
    """A crop of 96 pixels holds photos of up to 192 at scale 0.5; at the middle, 1, it is full."""
    config.crop, config.scale = (96, 64), (0.5, 2.0)
    parser = make_parser()
    assert parser(people(193, 150)).labels.shape == (193, 150)
    parser(people(192, 150))
    make_parser(side=0)(people(194, 150))
    # buckets of 96 x 75, 192 x 150 and 194 x 150 pixels
    assert traces.seen == [(1, 97, 97, 3), (1, 193, 193, 3), (1, 257, 193, 3)]


def test_the_scale_of_the_training_may_be_one_of_several(make_parser, config, traces, people):
    """The smallest decides what is large, the smallest and largest what is in the middle."""
    config.crop, config.scale_choices = (96, 64), (0.6, 0.8, 1.0, 1.2, 1.4)
    make_parser()(people(160, 150))  # 160 = 96 / 0.6
    make_parser()(people(161, 150))  # shown at 96 / sqrt(0.6 * 1.4) = 105 pixels
    assert traces.seen == [(1, 193, 193, 3), (1, 129, 129, 3)]


def test_load_parser_takes_a_workdir_or_one_checkpoint(workdir, people):
    photo = people(60, 50)
    whole = hparse_jax.load_parser(workdir)
    one = hparse_jax.load_parser(str(workdir / "checkpoints" / "0"))
    assert isinstance(whole, Predictor)
    assert (whole.step, one.step) == (0, 0)
    np.testing.assert_array_equal(whole(photo).labels, one(photo).labels)
    with pytest.raises(InputError, match="step 0, not of step 3"):
        hparse_jax.load_parser(workdir / "checkpoints" / "0", step=3)
    with pytest.raises(InputError, match=r"no step 7; there are \[0\]"):
        hparse_jax.load_parser(workdir, step=7)


def test_an_imported_backbone_gives_features_and_parses_nothing(tmp_path, people):
    settings = BackboneSettings(
        "resnet",
        ModelConfig(depth=18, width=0.1, dtype="float32"),
        mean=(1.0, 2.0, 3.0),
        std=(1.0, 1.0, 1.0),
        channels="bgr",
    )
    variables = initial_variables(build_backbone(settings.name, settings.model), 0)
    save_backbone(tmp_path / "backbone", settings, variables)
    backbone = hparse_jax.load_parser(tmp_path / "backbone")
    blocks = backbone.features(np.zeros((1, 33, 49, 3), np.float32))
    assert [x.shape[1:3] for x in blocks] == [(9, 13), (5, 7), (3, 4), (3, 4)]
    with pytest.raises(InputError, match=r"parses nothing .*config\.init_from"):
        backbone(people(60, 50))
