import pytest

from hparse_jax.commands import build
from hparse_jax.errors import UsageError


@pytest.mark.parametrize("arguments", [[], ["lip", "cihp"]])
def test_the_verb_wants_one_dataset(arguments):
    with pytest.raises(UsageError, match="which dataset"):
        build.main(arguments)
