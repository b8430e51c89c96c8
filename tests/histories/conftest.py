"""Long tests, most of them over many histories, which `.ci/run` runs: `HISTORIES` of them, 500 unless the environment says otherwise.

A test that asks for `history` is given the numbers from 0 on, one a test, one that asks for `faulty` an eighth as many; what it makes
of a number is its own.
"""

import os

import pytest

HISTORIES = int(os.environ.get("HISTORIES", "500"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Number the histories."""
    if "history" in metafunc.fixturenames:
        metafunc.parametrize("history", range(HISTORIES))
    if "faulty" in metafunc.fixturenames:
        metafunc.parametrize("faulty", range(max(1, HISTORIES // 8)))
