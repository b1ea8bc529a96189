import numpy as np

from hparse_jax import sharding


def test_sums_over_processes_are_exact_beyond_32_bits(monkeypatch):
    mine = [np.int64(3), np.array([[2**40 + 1, 7], [2**31, 0]])]
    gather = sharding.multihost_utils
    monkeypatch.setattr(sharding.jax, "process_count", lambda: 3)
    monkeypatch.setattr(gather, "process_allgather", lambda x: np.stack([x, x, x]))
    images, matrix = sharding.sum_over_processes(mine)
    assert images == 9
    np.testing.assert_array_equal(matrix, 3 * mine[1])
