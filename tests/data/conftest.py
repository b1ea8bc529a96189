import pytest
from ccp_folder import write_raw


@pytest.fixture
def raw(tmp_path):
    """0001..0005 for training, 0006 and 0007 for validation."""
    return write_raw(tmp_path / "raw" / "clothing-co-parsing")


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """A data_dir with that folder built as fashion_clothing."""
    # Imported here: pytest reads this file before it installs the shape checks.
    from hparse_jax.data.build import build

    folder = tmp_path_factory.mktemp("built")
    build("fashion_clothing", folder / "data", write_raw(folder / "clothing-co-parsing"))
    return folder / "data"
