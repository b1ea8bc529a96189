import pytest


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder, where `executed` would appear."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
