import json

from hparse_jax.training.writer import Writer


def lines(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def test_every_call_is_a_line_on_disk_at_once(tmp_path):
    with Writer(tmp_path, 0) as writer:
        writer.write(1, {"train/loss": 0.5})
        assert lines(tmp_path) == [{"step": 1, "train/loss": 0.5}]
        writer.write(2, {"train/loss": 0.25, "val/parts/mean_iou": 0.1})
        assert lines(tmp_path)[1] == {"step": 2, "train/loss": 0.25, "val/parts/mean_iou": 0.1}


def test_a_resumed_run_repeats_no_step_and_keeps_no_broken_line(tmp_path):
    good = [json.dumps({"step": step, "train/loss": 1.0}) for step in (1, 2, 3, 4)]
    (tmp_path / "metrics.jsonl").write_text("\n".join([*good, '{"step": 5, "tra']))
    with Writer(tmp_path, 2) as writer:
        writer.write(3, {"train/loss": 2.0})
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3]
    assert lines(tmp_path)[2]["train/loss"] == 2.0


def test_what_is_no_number_is_null(tmp_path):
    with Writer(tmp_path, 0) as writer:
        writer.write(1, {"train/loss": float("nan"), "train/gradient_norm": float("inf")})
    assert lines(tmp_path) == [{"step": 1, "train/loss": None, "train/gradient_norm": None}]
