"""Small videos for the tests, and a parser that finds red."""

import fractions
import functools

import av
import numpy as np

from hparse_jax.hierarchy import hierarchy_from_json
from hparse_jax.inference.predictor import Predictor
from hparse_jax.inference.result import Result

MILLISECOND = fractions.Fraction(1, 1000)
RED = hierarchy_from_json(
    {"name": "red", "levels": [{"name": "parts", "nodes": {"background": None, "red": None}}]}
)
BLOCK = 16


def picture(place, size=(48, 64)):
    """Grey with a red block at the place-th position of the first row."""
    image = np.full((*size, 3), 90, np.uint8)
    image[:BLOCK, BLOCK * place : BLOCK * (place + 1)] = 255, 0, 0
    return image


def write(path, times, rotation=0, size=(48, 64)):
    """A video of `picture(0)`, `picture(1)`, ... (and round again) shown at times in ms."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"qp": "1"})
        stream.height, stream.width = size
        stream.pix_fmt = "yuv444p"
        stream.codec_context.time_base = MILLISECOND
        if rotation:
            stream.set_display_rotation(rotation)
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(number % 4, size), format="rgb24")
            frame.pts, frame.time_base = time, MILLISECOND
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


class FindsRed(Predictor):
    """A parser that needs no network."""

    def __init__(self):
        self.hierarchy = RED

    def stream(self, photos, batch_size=None, announce=None):
        for item, image in photos:
            red = (image[..., 0] > 170) & (image[..., 1] < 90)
            labels = red.astype(np.uint8)
            logits = np.where(red[..., None], (-4.0, 4.0), (4.0, -4.0)).astype(np.float32)
            yield item, Result(labels, (labels,), RED, ({},), functools.partial(_given, logits))


def _given(logits, level):
    return logits
