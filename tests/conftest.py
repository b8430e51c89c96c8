"""What all tests share: a simulated account, a mirror of it, and a look at whether they are equal."""

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the files of shared slots out of the user's own cache: a sync that runs beside the tests must not wait for them."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = before


@pytest.fixture(autouse=True)
def _heard() -> None:
    """Let our loggers speak: `doctor` asks for less of them, and Dagster's migrations silence all there are (alembic's `fileConfig`)."""
    logging.getLogger("stripe_assets").setLevel(logging.NOTSET)
    for name, logger in logging.Logger.manager.loggerDict.items():
        if name.startswith("stripe_assets") and isinstance(logger, logging.Logger):
            logger.disabled = False
