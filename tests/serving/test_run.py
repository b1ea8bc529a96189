"""Listening and ending: in a process of its own, where signals are."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time

import pytest
from serving.conftest import encoded

from hparse_jax.errors import InputError
from hparse_jax.serving import run

SERVICE = """
    import sys
    from unittest import mock
    from inference.conftest import HIERARCHY, Pixels
    from hparse_jax.config import Config
    from hparse_jax.data.buckets import few_buckets
    from hparse_jax.inference.predictor import Predictor
    from hparse_jax.serving import run

    variables = {"params": {"gain": 1.0}}
    options = {"side": 64, "max_side": 200, "buckets_of": few_buckets}
    predictor = Predictor(Pixels(), variables, Config(), HIERARCHY, **options)
    listener = run.listen("127.0.0.1", 0)
    print(listener.getsockname()[1], flush=True)
    if "broken" in sys.argv:
        mock.patch.object(Predictor, "stream", side_effect=MemoryError("no room")).start()
    run.serve(predictor, listener, run.Limits(), None, lambda line: print(line, flush=True))
    print("ended")
"""


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SERVICE), *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_sigterm_finishes_what_was_accepted_and_ends_with_0(people):
    photo = encoded(people(60, 50))
    body = b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n\r\n'
    body += photo + b"\r\n--x--\r\n"
    head = (
        "POST /v1/parse HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with start() as process:
        port = int(process.stdout.readline())
        while process.stdout.readline() != "ready\n":
            assert process.poll() is None
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            client.sendall(head.encode() + body[:100])
            time.sleep(0.3)  # the head has been read: the request is accepted
            process.send_signal(signal.SIGTERM)
            while not refuses(port):
                time.sleep(0.05)
            client.sendall(body[100:])
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b'"width":50' in answer
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "ended\n", "")


def refuses(port):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_service_that_cannot_compile_ends_with_the_reason():
    with start("broken") as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.rstrip().endswith("MemoryError: no room")
    assert "ended" not in out


def test_a_taken_port_is_named():
    with run.listen("127.0.0.1", 0) as first:
        first.listen()
        port = first.getsockname()[1]
        with pytest.raises(InputError, match=f"--port={port}: cannot listen there .*in use"):
            run.listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.1", "a" * 70 + ".b", ""])
def test_a_wrong_host_is_named(host):
    with pytest.raises(InputError, match=f"--host={host} "):
        run.listen(host, 0)


def test_a_head_that_does_not_end_is_cut_off(make_client, monkeypatch):
    monkeypatch.setattr(run, "_HEAD_SECONDS", 0.3)
    client = make_client()
    address = client.base_url.host, client.base_url.port
    with socket.create_connection(address, timeout=30) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n")
        assert slow.recv(100) == b""
    with socket.create_connection(address, timeout=30) as silent:
        assert silent.recv(100) == b""
    assert client.get("/healthz").status_code == 200


def test_garbage_and_hanging_up_leave_the_service_alone(make_client, people):
    client = make_client()
    address = client.base_url.host, client.base_url.port
    for data in (b"\x00\xff" * 500, b"GET / HTTP/9\r\n\r\n", b"POST /v1/parse HTTP/1.1\r\n"):
        with socket.create_connection(address, timeout=30) as other:
            other.sendall(data)
    with socket.create_connection(address, timeout=30) as other:
        other.sendall(
            b"POST /v1/parse HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=x"
            b"\r\nContent-Length: 1000\r\n\r\n--x\r\n"
        )
    deadline = time.monotonic() + 30
    counted = 'hparse_requests_total{path="/v1/parse",status="499"} 1.0'
    while counted not in client.get("/metrics").text:
        assert time.monotonic() < deadline
    photo = {"photo": ("a.png", encoded(people(60, 50)))}
    assert client.post("/v1/parse", files=photo).status_code == 200
    assert "hparse_queue_length 0.0" in client.get("/metrics").text


def test_a_body_that_comes_too_slowly_is_408(make_client):
    client = make_client(seconds=0.3)
    with socket.create_connection((client.base_url.host, client.base_url.port), 30) as slow:
        slow.sendall(
            b"POST /v1/parse HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=x"
            b"\r\nContent-Length: 1000\r\n\r\n--x\r\n"
        )
        assert slow.recv(1000).startswith(b"HTTP/1.1 408 ")
