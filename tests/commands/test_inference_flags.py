import pytest
from absl import flags

from hparse_jax.commands import inference_flags
from hparse_jax.errors import InputError


@pytest.fixture
def parse(monkeypatch):
    """parse("--flip", ...): the flags with these values."""

    def parse(*arguments):
        values = flags.FlagValues()
        monkeypatch.setattr(flags, "FLAGS", values)
        flags.DEFINE_integer("batch_size", None, "", flag_values=values)
        flags.DEFINE_list("scales", None, "", flag_values=values)
        values(["hparse", *arguments])

    return parse


@pytest.mark.parametrize(("given", "step"), [("", None), ("--step=7", 7), ("--step=best", "best")])
def test_a_step_is_a_number_or_the_best(monkeypatch, given, step):
    values = flags.FlagValues()
    flags.DEFINE(inference_flags.StepParser(), "step", None, "", flag_values=values)
    values(["hparse", *given.split()])
    assert values.step == step


def test_another_step_is_refused():
    with pytest.raises(ValueError, match="invalid literal"):
        inference_flags.StepParser().parse("last")


def test_scales_are_numbers_or_the_runs(parse):
    parse()
    assert inference_flags.scales() is None
    parse("--scales=0.5,1")
    assert inference_flags.scales() == (0.5, 1.0)


@pytest.mark.parametrize("wrong", ["x", "0", "", "nan", "1,11", "0.05"])
def test_wrong_scales_are_named(parse, wrong):
    parse(f"--scales={wrong}")
    with pytest.raises(InputError, match=f"--scales={wrong}: give numbers in"):
        inference_flags.scales()


def test_a_number_that_is_not_positive_is_named(parse):
    parse("--batch_size=3")
    inference_flags.check_positive("batch_size")
    parse("--batch_size=0")
    with pytest.raises(InputError, match="--batch_size=0: give a number above 0"):
        inference_flags.check_positive("batch_size")
