"""The dbt project as assets: each model below the mirrored tables that it reads.

The models themselves live in `dbt/`. dbt runs in a process of its own, after the sync has given the file back.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DbtCliResource, DbtProject, dbt_assets

from stripe_assets.assets import POOL
from stripe_assets.errors import ConfigurationError
from stripe_assets.resources import StripeResource

PROJECT = Path(__file__).parents[1] / "dbt"
"""The dbt project beside the package: the repository is what is installed."""


class Translator(DagsterDbtTranslator):
    """Groups models by the folder they live in: staging, intermediate, marts."""

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """Name a model's group by its folder."""
        folders = dbt_resource_props.get("fqn", [])[1:-1]
        return folders[0] if folders else "seeds"


def project() -> DbtProject:
    """Find the dbt project, with a manifest that is up to date. Raises `ConfigurationError`."""
    if not PROJECT.exists():
        raise ConfigurationError(f"the dbt project is missing at {PROJECT}: install from a clone of the repository (`pip install -e .`)")
    found = DbtProject(project_dir=PROJECT)
    sources = [path for folder in ("models", "seeds", "macros", "tests") for path in (PROJECT / folder).rglob("*") if path.is_file()]
    newest = max(path.stat().st_mtime for path in [*sources, PROJECT / "dbt_project.yml"])
    if not found.manifest_path.exists() or found.manifest_path.stat().st_mtime < newest:
        resource(found).cli(["parse", "--quiet"], target_path=found.target_path).wait()
    return found


def resource(found: DbtProject) -> DbtCliResource:
    """Give the dbt that is installed beside this Python, whether or not the virtual environment was activated."""
    beside = Path(sys.executable).with_name("dbt")
    return DbtCliResource(project_dir=found, dbt_executable=str(beside) if beside.exists() else "dbt")


def models(found: DbtProject) -> dg.AssetsDefinition:
    """Give the dbt models, seeds and tests as assets and asset checks."""

    @dbt_assets(manifest=found.manifest_path, project=found, dagster_dbt_translator=Translator(), pool=POOL, name="dbt")
    def built(context: dg.AssetExecutionContext, dbt: DbtCliResource, stripe: StripeResource):  # type: ignore[no-untyped-def]  # as in assets.py
        with _mirror_in_environment(stripe.duckdb_path()):
            yield from dbt.cli(["build"], context=context).stream()

    return built


@contextmanager
def _mirror_in_environment(path: str) -> Iterator[None]:
    """Tell dbt, whose profile reads the environment, which file to use: it is started in another folder than ours."""
    before = os.environ.get("STRIPE_DUCKDB")
    os.environ["STRIPE_DUCKDB"] = path
    try:
        yield
    finally:
        if before is None:
            del os.environ["STRIPE_DUCKDB"]
        else:
            os.environ["STRIPE_DUCKDB"] = before
