"""A served parser under load, from another process; `pytest -m slow tests/serving`.

HPARSE_LOAD=300 makes it short. The page's test needs Chromium and Playwright, the interface's fuzz
test schemathesis: `apt-get install chromium` and `pip install playwright schemathesis`.
"""

import concurrent.futures
import http.client
import io
import json
import os
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from serving.conftest import encoded

from hparse_jax.checkpoint import save_run
from hparse_jax.config import Config, ModelConfig
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.models.build import build_model, initial_variables

pytestmark = [
    pytest.mark.slow,  # minutes, and programs that are not Python packages
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of the tools
]

REQUESTS = int(os.environ.get("HPARSE_LOAD", "10000"))
CONNECTIONS = 32
SIZES = [(60, 40), (96, 96), (90, 120), (200, 130), (64, 220)]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder, lip = tmp_path_factory.mktemp("load") / "run", get_hierarchy("lip")
    model = ModelConfig(depth=18, width=0.1, dtype="float32")
    config = Config(dataset="lip", model=model, crop=(129, 129))
    save_run(folder, config, lip, initial_variables(build_model(model, lip), 0))
    return folder


@pytest.fixture
def serve(workdir):
    """serve(*flags): the port of a service that is ready."""
    processes = []

    def start(*flags):
        command = [sys.executable, "-m", "hparse_jax", "serve", f"--workdir={workdir}", "--port=0"]
        process = subprocess.Popen([*command, *flags], stderr=subprocess.PIPE, text=True)
        processes.append(process)
        port = int(re.search(r":(\d+)$", process.stderr.readline().strip())[1])
        while "ready" not in process.stderr.readline():
            assert process.poll() is None
        return port

    yield start
    for process in processes:
        process.terminate()
        assert process.communicate(timeout=120)[1] == ""  # nothing went wrong in it
        assert process.returncode == 0


def form(photo):
    head = b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a.png"\r\n\r\n'
    return head + photo + b"\r\n--x--\r\n"


def ask(connection, photo):
    """(status, label map or None, seconds)"""
    begin = time.perf_counter()
    headers = {"Content-Type": "multipart/form-data; boundary=x", "Accept": "image/png"}
    connection.request("POST", "/v1/parse", form(photo), headers)
    answer = connection.getresponse()
    body = answer.read()
    seconds = time.perf_counter() - begin
    if answer.status != 200:
        assert answer.getheader("Retry-After")
        assert "error" in json.loads(body)
        return answer.status, None, seconds
    return 200, np.array(Image.open(io.BytesIO(body))), seconds


def resident_megabytes(port):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return float(re.search(r"^process_resident_memory_bytes (\S+)", text, re.M)[1]) / 1e6


def load(port, requests, expected, photos):
    """Status and seconds of every answer; a wrong one fails. expected: of each photo, or None."""

    def client(numbers):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        found = []
        for i in numbers:
            status, labels, seconds = ask(connection, photos[i % len(photos)])
            if status == 200:
                np.testing.assert_array_equal(labels, expected[i % len(photos)])
            found.append((status, seconds))
        connection.close()
        return found

    with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
        shares = [range(c, requests, CONNECTIONS) for c in range(CONNECTIONS)]
        return [answer for answers in pool.map(client, shares) for answer in answers]


@pytest.fixture(scope="module")
def photos():
    rng = np.random.default_rng(0)
    return [encoded(rng.integers(0, 256, (*size, 3), np.uint8)) for size in SIZES * 4]


def one_by_one(port, photos):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    answers = [ask(connection, photo)[1] for photo in photos]
    connection.close()
    return answers


def test_no_answer_is_lost_or_wrong_and_memory_stays(serve, photos):
    port = serve()
    expected = one_by_one(port, photos)
    for labels, size in zip(expected, SIZES * 4, strict=True):
        assert labels.shape == size
    answers = load(port, max(32, REQUESTS // 10), expected, photos)
    before, begin = resident_megabytes(port), time.perf_counter()
    answers = load(port, REQUESTS, expected, photos)
    rate, after = REQUESTS / (time.perf_counter() - begin), resident_megabytes(port)
    assert [status for status, _ in answers] == [200] * REQUESTS
    p50, p95, p99 = np.percentile([seconds for _, seconds in answers], (50, 95, 99))
    print(
        f"\n{REQUESTS} requests, {rate:.0f}/s; seconds: median {p50:.3f}, 95 % {p95:.3f}, "
        f"99 % {p99:.3f}; resident {before:.0f} -> {after:.0f} MB"
    )
    assert after < before * 1.05 + 20


def test_overload_is_refused_and_leaves_no_trace(serve, photos):
    port = serve("--queue=8")  # a quarter of the connections
    expected = one_by_one(port, photos)
    before = resident_megabytes(port)
    statuses = [status for status, _ in load(port, REQUESTS // 4, expected, photos)]
    assert set(statuses) == {200, 503}
    print(f"\n{statuses.count(200)} answered, {statuses.count(503)} refused")
    for labels, right in zip(one_by_one(port, photos), expected, strict=True):
        np.testing.assert_array_equal(labels, right)
    assert resident_megabytes(port) < before * 1.1 + 40


@pytest.mark.parametrize("token", [None, "secret"])
def test_the_interface_is_what_its_openapi_says(serve, token):
    pytest.importorskip("schemathesis")
    url = f"http://127.0.0.1:{serve(*([f'--token={token}'] if token else []))}/openapi.json"
    # no schema can say which bytes are a photograph
    options = ["--max-examples=30", "--exclude-checks=positive_data_acceptance"]
    if token:
        options.append(f"-HAuthorization: Bearer {token}")
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "run", url, *options],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:]


@pytest.mark.parametrize(
    ("width", "height", "scheme"), [(1440, 900, "light"), (1024, 768, "dark"), (390, 844, "light")]
)
def test_the_page_shows_what_the_service_answers(serve, photos, tmp_path, width, height, scheme):
    """Its label map, unpacked and packed again by the page, is the service's."""
    playwright = pytest.importorskip("playwright.sync_api")
    port = serve()
    (tmp_path / "photo.png").write_bytes(photos[3])
    with playwright.sync_playwright() as browsers:
        options = {"executable_path": "/usr/bin/chromium", "args": ["--no-sandbox"]}
        browser = browsers.chromium.launch(**options)
        page = browser.new_page(
            viewport={"width": width, "height": height}, color_scheme=scheme, accept_downloads=True
        )
        complaints = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"http://127.0.0.1:{port}/")
        page.set_input_files("#file", tmp_path / "photo.png")
        page.wait_for_selector("#panel:not([hidden])")
        page.screenshot(path=tmp_path / f"page_{width}.png", full_page=True)
        files = {}
        for kind in ("png", "cutout", "json", "coco"):
            with page.expect_download() as download:
                page.click(f"[data-file={kind}]")
            files[kind] = download.value.path().read_bytes()
        page.keyboard.press("2")
        second = page.text_content("[role=tab][aria-selected=true]")
        wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
        browser.close()
    (expected,) = one_by_one(port, photos[3:4])
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(files["png"]))), expected)
    report, coco = json.loads(files["json"]), json.loads(files["coco"])
    assert (report["height"], report["width"]) == expected.shape
    root = [a for a in coco["annotations"] if a["category_id"] == 2001]
    cutout = np.array(Image.open(io.BytesIO(files["cutout"])))
    assert cutout[..., 3].astype(bool).sum() == sum(a["area"] for a in root)
    assert second == get_hierarchy("lip").levels[1].name
    assert complaints == []
    assert not wide
