"""The verb `configs`."""

from command_line import hparse

from hparse_jax.config_files import shipped_configs


def test_every_config_is_listed_with_its_purpose_and_variants(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = hparse("configs")
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines()[:-1])) <= 100
    text = " ".join(done.stdout.split())
    for config in shipped_configs():
        variants = f" variants: {', '.join(config.variants)}" if config.variants else ""
        assert f"{config.name} {config.purpose}{variants} " in text


def test_surplus_arguments_are_wrong_usage():
    done = hparse("configs", "lip")
    assert done.returncode == 2
    assert "no arguments, not lip" in done.stderr
