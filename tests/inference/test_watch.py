"""A watched folder, without waiting: what happens between two looks happens in `sleep`."""

import contextlib
import os

import pytest

from hparse_jax.errors import InputError
from hparse_jax.inference import watch
from hparse_jax.inference.watch import arrivals


@pytest.fixture
def looks(tmp_path, monkeypatch):
    """looks(steps): per look the names of the photos that are ready; `steps` come in between."""
    folder = tmp_path / "in"
    folder.mkdir()
    told = []

    def look(steps):
        waiting, rounds = iter(steps), [[]]

        def sleep(seconds):
            assert seconds == watch.INTERVAL
            step = next(waiting, None)
            if step is None:
                raise KeyboardInterrupt
            step(folder)
            rounds.append([])

        monkeypatch.setattr(watch.time, "sleep", sleep)
        with contextlib.suppress(KeyboardInterrupt):
            for photos in arrivals(folder, tmp_path / "out", (".png",), (), told.append):
                rounds[-1] += [photo.name for photo in photos]
        return rounds

    look.folder, look.told = folder, told
    return look


def nothing(folder):
    pass


def writing(name, data, time=None):
    def step(folder):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
        if time is not None:
            os.utime(folder / name, (time, time))

    return step


def test_a_photo_is_taken_once_when_it_has_stopped_growing(looks):
    steps = [
        writing("a.jpg", b"1"),
        writing("a.jpg", b"12"),
        writing("a.jpg", b"123"),
        *[nothing] * 3,
    ]
    assert looks(steps) == [[], [], [], [], ["a.jpg"], [], []]


def test_photos_that_are_there_at_the_start_are_taken_too(looks):
    writing("sub/b.png", b"1")(looks.folder)
    assert looks([nothing, nothing]) == [[], ["sub/b.png"], []]


def test_an_empty_file_is_waited_for(looks):
    assert looks([writing("a.jpg", b""), nothing, nothing, writing("a.jpg", b"1"), nothing]) == [
        *[[]] * 5,
        ["a.jpg"],
    ]


def test_a_photo_that_is_replaced_is_taken_again(looks):
    steps = [
        writing("a.jpg", b"1", time=1000),
        nothing,
        writing("a.jpg", b"2", time=2000),  # of the same size
        nothing,
        lambda folder: (folder / "a.jpg").unlink(),
        writing("a.jpg", b"2", time=2000),
        nothing,
    ]
    assert looks(steps) == [[], [], ["a.jpg"], [], ["a.jpg"], [], [], ["a.jpg"]]


def test_names_that_collide_stop_nothing_but_the_parsing(looks):
    steps = [
        writing("x_png.jpg", b"1"),
        nothing,
        writing("x.png", b"1"),
        writing("x.jpg", b"1"),  # x.png becomes x_png.png, which is taken
        nothing,
        nothing,
        lambda folder: (folder / "x.jpg").unlink(),
        nothing,
    ]
    rounds = looks(steps)
    assert [name for names in rounds for name in names] == ["x_png.jpg", "x.png"]
    assert rounds[2] == ["x_png.jpg"]
    assert rounds[7] == ["x.png"]
    assert len(looks.told) == 1
    assert "rename one of them" in looks.told[0]


def test_a_folder_that_cannot_be_watched_is_refused_at_once(tmp_path):
    with pytest.raises(InputError, match="the photographs' own folder"):
        next(arrivals(tmp_path, tmp_path, (".png",), (), print))
