"""The cases: what one call of each does, what is timed of it, and what they refuse."""

import dataclasses
import pathlib

import pytest
from raw_folders import jpeg, write

from hparse_jax.benchmark import cases
from hparse_jax.benchmark.cases import Subject, check, inference, predict, stream, training
from hparse_jax.benchmark.process import seconds_of
from hparse_jax.config import Config, ModelConfig
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.inference.photos import read_photo
from hparse_jax.inference.predictor import Predictor

TINY = ModelConfig(name="deeplab_largefov", width=0.02, dtype="float32")
CONFIG = Config(dataset="fashion_clothing", crop=(33, 33), batch_size=2, model=TINY)


@pytest.fixture
def subject(tmp_path):
    """Random weights of a tiny network."""
    return Subject(CONFIG, get_hierarchy("fashion_clothing"), None, tmp_path / "scratch")


def test_inference_parses_a_batch_of_the_size_asked_for(subject, monkeypatch):
    parsed, of_the_parser = [], Predictor.stream

    def seen(self, photos, batch_size=None, announce=None):
        for item, result in of_the_parser(self, photos, batch_size, announce):
            parsed.append((result.labels.shape, batch_size))
            yield item, result

    monkeypatch.setattr(Predictor, "stream", seen)
    case = inference(dataclasses.replace(subject, size=(33, 49), batch=3))
    seconds_of(case)
    assert parsed == [((33, 49), 3)] * case.images
    computed = {"engine": "jax", "precision": "float32"}
    assert case.conditions == {"size": (33, 49), "batch": 3} | computed


def test_training_learns_with_every_call(subject):
    case = training(dataclasses.replace(subject, batch=1))
    with case.turn() as call:
        first = call()
    with case.turn() as call:
        second = call()
    assert second["loss"] != first["loss"]
    assert (case.images, case.conditions["size"]) == (1, (33, 33))


def test_a_stream_is_timed_without_its_start_and_what_it_had_ready(subject, built, monkeypatch):
    taken, of_the_dataset = [], cases.training_stream

    class Counted:
        def __init__(self, *arguments):
            self._stream = of_the_dataset(*arguments)

        def __enter__(self):
            self._stream.__enter__()
            return self

        def __exit__(self, *exception):
            self._stream.__exit__(*exception)

        def __next__(self):
            taken.append(next(self._stream)["image"].shape)

    monkeypatch.setattr(cases, "training_stream", Counted)
    config = dataclasses.replace(CONFIG, data_dir=str(built))
    case = stream(dataclasses.replace(subject, config=config, size=(17, 33)))
    timed = seconds_of(case, clock=lambda: float(len(taken)))  # in batches
    assert timed * 2 == case.images
    assert len(taken) > timed
    assert set(taken) == {(2, 17, 33, 3)}


def test_predict_writes_the_files_of_every_photo_and_removes_them(subject, tmp_path):
    for name in ("a", "b"):
        write(tmp_path / "photos" / f"{name}.jpg", jpeg((48, 40), 1))
    case = predict(dataclasses.replace(subject, photos=tmp_path / "photos"))
    with case.turn() as call:
        assert files(subject.scratch) == []
        call()
        assert files(subject.scratch) == [
            f"{name}{ending}" for name in "ab" for ending in (".json", ".png", "_overlay.jpg")
        ]
    assert files(subject.scratch) == []
    assert case.images == 2
    assert case.conditions["photographs"] == "2 given"
    assert case.conditions["megapixels"] == 0.002  # 48 x 40


def test_people_are_drawn_at_the_size_of_the_crop(subject):
    case = predict(subject)
    drawn = [read_photo(path).shape[:2] for path in (subject.scratch / "photos").iterdir()]
    assert len(drawn) == case.images
    assert {max(size) for size in drawn} == {33}
    assert case.conditions["photographs"] == f"{len(drawn)} drawn"


def files(scratch: pathlib.Path) -> list[str]:
    return sorted(path.name for path in (scratch / "parsed").glob("*"))


def test_what_a_case_would_refuse_is_refused_before_any_starts(subject, tmp_path):
    official = dataclasses.replace(CONFIG, model=ModelConfig(name="cnif_official"))
    for wrong, case, message in (
        ({"photos": tmp_path / "none"}, "predict", "none: no such folder"),
        ({"photos": tmp_path}, "predict", "no photograph found"),
        ({"config": official}, "training", "is not trained"),
        ({"config": dataclasses.replace(CONFIG, data_dir=str(tmp_path))}, "stream", "hparse build"),
        ({"config": dataclasses.replace(CONFIG, accumulate=2), "batch": 3}, "training", "divisor"),
    ):
        with pytest.raises(InputError, match=message):
            check(dataclasses.replace(subject, **wrong), (case,))
    check(subject, ("inference", "predict", "training"))
