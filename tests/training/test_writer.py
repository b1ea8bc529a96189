import json

from hparse_jax.training.writer import Writer


def silent(text):
    raise AssertionError(text)


def lines(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def test_every_call_is_a_line_on_disk_at_once(tmp_path):
    with Writer(tmp_path, 0, silent) as writer:
        writer.write(1, {"train/loss": 0.5})
        assert lines(tmp_path) == [{"step": 1, "train/loss": 0.5}]
        writer.write(2, {"train/loss": 0.25, "val/parts/mean_iou": 0.1})
        assert lines(tmp_path)[1] == {"step": 2, "train/loss": 0.25, "val/parts/mean_iou": 0.1}


def test_a_resumed_run_repeats_no_step_and_keeps_no_broken_line(tmp_path):
    good = [json.dumps({"step": step, "train/loss": 1.0}) for step in (1, 2, 3, 4)]
    (tmp_path / "metrics.jsonl").write_text("\n".join([*good, '{"step": 5, "tra']))
    with Writer(tmp_path, 2, silent) as writer:
        writer.write(3, {"train/loss": 2.0})
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3]
    assert lines(tmp_path)[2]["train/loss"] == 2.0


def test_what_is_no_number_is_null(tmp_path):
    with Writer(tmp_path, 0, silent) as writer:
        writer.write(1, {"train/loss": float("nan"), "train/gradient_norm": float("inf")})
    assert lines(tmp_path) == [{"step": 1, "train/loss": None, "train/gradient_norm": None}]


def test_damaged_lines_are_named_and_passed_over(tmp_path):
    """Of a file with three flipped bits: no JSON, no text, two lines that became one."""
    good = [json.dumps({"step": step, "train/loss": 1.0}).encode() for step in range(1, 9)]
    good[1] = good[1].replace(b"{", b"[")
    good[3] = good[3].replace(b"loss", b"lo\xf3s")
    good[5:7] = [good[5] + b"J" + good[6]]
    (tmp_path / "metrics.jsonl").write_bytes(b"\n".join(good) + b"\n")
    said = []
    with Writer(tmp_path, 8, said.append) as writer:
        writer.write(9, {})
    assert [line["step"] for line in lines(tmp_path)] == [1, 3, 5, 8, 9]
    assert said == [f"{tmp_path / 'metrics.jsonl'}: damaged, left out: line 2, 4, 6"]
