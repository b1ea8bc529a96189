"""The HTTP interface: answers equal to the predictor's, and every refusal."""

import io
import json
import threading
import zipfile

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as reference
from serving.conftest import encoded

from hparse_jax.inference.describe import describe

# pycocotools 2.0.11 decodes through an interface that NumPy 2 wants to be extended
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

NAMES = ("parts", "body")


def post(client, photo, query="", accept=None, **options):
    headers = {"Accept": accept} if accept else {}
    files = {"photo": ("a.png", photo)}
    return client.post(f"/v1/parse?{query}", files=files, headers=headers, **options)


def test_the_json_is_that_of_predict(make_client, predictor, people):
    photo = people(150, 60)
    answer = post(make_client(), encoded(photo))
    assert answer.status_code == 200, answer.text
    expected = {"step": 7, **describe(predictor(photo))}
    assert answer.json() == json.loads(json.dumps(expected))


def test_consistent_levels_are_asked_for(make_client, predictor):
    photo = np.random.default_rng(0).integers(0, 256, (64, 60, 3), np.uint8)
    client = make_client()
    for flag in (False, True):
        expected = describe(predictor.consistently(flag)(photo))
        answer = post(client, encoded(photo), f"consistent={flag}").json()
        assert answer["levels"] == json.loads(json.dumps(expected["levels"]))


def test_run_lengths_are_the_masks(make_client, predictor, people):
    photo = people(90, 130)
    levels = post(make_client(), encoded(photo), "formats=rle").json()["levels"]
    expected = predictor(photo).levels
    for level, labels in zip(levels, expected, strict=True):
        assert {c["id"] for c in level["classes"]} == set(np.unique(labels))
        for found in level["classes"]:
            np.testing.assert_array_equal(reference.decode(found["rle"]), labels == found["id"])


def test_levels_and_classes_are_chosen(make_client, people):
    photo = encoded(people(90, 130))
    answer = post(make_client(), photo, "levels=parts&classes=left,person").json()
    assert [level["name"] for level in answer["levels"]] == ["parts"]
    assert [found["name"] for found in answer["levels"][0]["classes"]] == ["left"]


@pytest.mark.parametrize(("query", "level"), [("", 0), ("levels=body", 1)])
def test_a_png_is_the_label_map(make_client, predictor, people, query, level):
    photo = people(90, 130)
    answer = post(make_client(), encoded(photo), query, accept="image/png")
    assert answer.headers["content-type"] == "image/png"
    labels = np.array(Image.open(io.BytesIO(answer.content)))
    np.testing.assert_array_equal(labels, predictor(photo).levels[level])


def test_a_zip_holds_the_files_of_predict(make_client, predictor, people):
    photo = people(90, 130)
    client = make_client()
    answer = post(client, encoded(photo), accept="application/zip")
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert set(archive.namelist()) == {
        "photo.png",
        "photo_body.png",
        "photo_overlay.jpg",
        "photo_coco.json",
        "photo_polygons.json",
        "photo_cutout.png",
        "photo_crop_left.png",
        "photo_crop_right.png",
        "photo.json",
    }
    labels = np.array(Image.open(archive.open("photo_body.png")))
    np.testing.assert_array_equal(labels, predictor(photo).levels[1])
    assert len(json.load(archive.open("photo_coco.json"))["annotations"]) == 3
    assert Image.open(archive.open("photo_overlay.jpg")).height == 90
    some = post(client, encoded(photo), "formats=overlay")  # whoever takes anything gets files
    assert zipfile.ZipFile(io.BytesIO(some.content)).namelist() == ["photo_overlay.jpg"]


@pytest.mark.parametrize(
    ("query", "accept", "status", "reason"),
    [
        ("levels=halves", None, 400, "levels=halves: give some of parts, body"),
        ("formats=tiff", None, 400, "formats=tiff: give some of png, overlay, json, rle, "),
        ("classes=hat", None, 400, "classes=hat: give some of left, right, person"),
        ("consistent=maybe", None, 400, "consistent: "),
        ("formats=png", "application/json", 400, "formats=png: png is a file; ask with the header"),
        ("", "text/html", 406, "Accept: text/html: give one of "),
    ],
)
def test_a_wrong_query_is_named_in_one_line(make_client, people, query, accept, status, reason):
    answer = post(make_client(), encoded(people(60, 50)), query, accept)
    assert answer.status_code == status
    assert answer.json()["error"].startswith(reason)
    assert "\n" not in answer.json()["error"]


def test_a_broken_photograph_is_400(make_client, people):
    client, photo = make_client(), encoded(people(60, 50), "JPEG")
    for data in (b"", b"GIF89a", photo[: len(photo) // 2], b"%!PS-Adobe-3.0 EPSF-3.0\n"):
        answer = post(client, data)
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert error.startswith("photo: not a readable photograph (")
        assert "0x" not in error


@pytest.mark.parametrize(
    "request_body",
    [
        {"data": {"photo": "text"}},
        {"files": {"other": ("a.png", b"x")}},
        {"content": b"raw", "headers": {"Content-Type": "image/png"}},
        {"content": b"raw", "headers": {"Content-Type": "multipart/form-data"}},
        {"content": b"raw", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        {"content": b"--x\r\nbad", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        {},
    ],
)
def test_a_body_without_a_photograph_is_400(make_client, request_body):
    answer = make_client().post("/v1/parse", **request_body)
    assert answer.status_code == 400
    assert "\n" not in answer.json()["error"]


def test_a_large_body_is_413_whether_declared_or_not(make_client):
    client, photo = make_client(bytes=2_000), bytes(3_000)
    assert post(client, photo).status_code == 413
    taken = []

    def chunks():
        yield b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n\r\n'
        for i in range(100):
            taken.append(i)
            yield bytes(1_000)

    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = client.post("/v1/parse", content=chunks(), headers=kind)
    assert (answer.status_code, answer.json()["error"]) == (
        413,
        "the body has more than 2000 bytes; send a smaller photograph",
    )


def test_too_many_pixels_are_413_before_they_are_decoded(make_client, people, monkeypatch):
    def load(self):
        raise AssertionError("decoded")

    photo = encoded(people(201, 200), "JPEG")
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    answer = post(make_client(), photo)
    assert (answer.status_code, answer.json()["error"]) == (
        413,
        "photo: 200 x 201 pixels; give a photograph of at most 40000 pixels",
    )


@pytest.mark.parametrize("path", ["/v1/parse", "/v1/model", "/metrics"])
def test_without_the_token_nothing_is_told(make_client, path):
    client = make_client(token="secret")
    ask = client.post if path == "/v1/parse" else client.get
    for headers in ({}, {"Authorization": "Bearer secreT"}, {"Authorization": "Basic secret"}):
        answer = ask(path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    # with it, the request is looked at
    assert ask(path, headers={"Authorization": "Bearer secret"}).status_code in (200, 400)


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/healthz", "/readyz"])
def test_the_page_needs_no_token(make_client, path):
    assert make_client(token="secret").get(path).status_code == 200


def test_before_readiness_photographs_are_503(make_client, people):
    client = make_client(ready=False)
    assert client.get("/healthz").status_code == 200
    for answer in (client.get("/readyz"), post(client, encoded(people(60, 50)))):
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0


def test_a_full_queue_is_503_and_loses_nobody(make_client, people, predictor, monkeypatch):
    client, photo = make_client(photographs=2), encoded(people(60, 50))
    go_on, batches = threading.Event(), type(predictor).batches

    def held(self, photos):
        go_on.wait(60)
        return batches(self, photos)

    monkeypatch.setattr(type(predictor), "batches", held)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(post(client, photo))) for _ in "ab"]
    for thread in threads:
        thread.start()
    while "hparse_queue_length 2.0" not in client.get("/metrics").text:
        pass
    refused = post(client, photo)
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    go_on.set()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200, 200]
    assert post(client, photo).status_code == 200


def test_an_answer_that_takes_too_long_is_503(make_client, people, predictor, monkeypatch):
    client, go_on = make_client(seconds=0.2), threading.Event()
    batches = type(predictor).batches

    def held(self, photos):
        go_on.wait(60)
        return batches(self, photos)

    monkeypatch.setattr(type(predictor), "batches", held)
    answer = post(client, encoded(people(60, 50)))
    go_on.set()
    assert (answer.status_code, answer.json()["error"]) == (503, "no answer after 0.2 s; try again")


def test_the_model_describes_its_tree(make_client):
    model = make_client().get("/v1/model").json()
    assert [level["name"] for level in model["levels"]] == list(NAMES)
    right = {"id": 2, "name": "right", "parent": 1, "colour": [30, 30, 200]}
    assert model["levels"][0]["nodes"][2] == right
    assert model["levels"][1]["nodes"][1]["parent"] is None
    assert model["limits"]["pixels"] == 40_000
    assert [c["id"] for c in model["categories"]] == [1, 2, 1001]


def test_requests_are_counted_by_path_and_status(make_client, people):
    client = make_client()
    post(client, encoded(people(60, 50)))
    post(client, b"")
    for i in range(3):
        client.get(f"/made/up/{i}")
    text = client.get("/metrics").text
    for line in (
        'hparse_requests_total{path="/v1/parse",status="200"} 1.0',
        'hparse_requests_total{path="/v1/parse",status="400"} 1.0',
        'hparse_requests_total{path="other",status="404"} 3.0',
        'hparse_request_seconds_count{path="/v1/parse"} 2.0',
        "hparse_queue_length 0.0",
        "hparse_batch_size_count 1.0",
        "hparse_ready 1.0",
    ):
        assert line in text.splitlines()
    assert "/made/up" not in text


@pytest.mark.parametrize("path", ["/", "/docs", "/page/main.js", "/v1/model", "/nowhere"])
def test_every_answer_carries_a_strict_policy(make_client, path):
    headers = make_client().get(path).headers
    policy = dict(rule.split(" ", 1) for rule in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert headers["x-content-type-options"] == "nosniff"


def test_openapi_names_the_photograph_and_every_status(make_client):
    operation = (
        make_client(token="secret").get("/openapi.json").json()["paths"]["/v1/parse"]["post"]
    )
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["photo"]
    names = [parameter["name"] for parameter in operation["parameters"]]
    assert names == ["levels", "formats", "classes", "consistent"]
    assert {"200", "400", "401", "406", "408", "413", "503"} <= set(operation["responses"])
