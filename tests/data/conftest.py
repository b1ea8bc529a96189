import pytest
from ccp_folder import write_raw


@pytest.fixture
def raw(tmp_path):
    """0001..0005 for training, 0006 and 0007 for validation."""
    return write_raw(tmp_path / "raw" / "clothing-co-parsing")
