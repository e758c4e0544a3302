"""What is set in dask's configuration counts as the keyword that means the same."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import dask
import pytest
import yaml  # type: ignore[import-untyped]

from nbcluster import dask_settings
from nbcluster.cluster.spec import make_spec

TABLES = [dask_settings.CLUSTERS, dask_settings.SCHEDULERS, dask_settings.CLIENTS, dask_settings.ADAPTIVE]


def spec_of(**given: Any) -> Any:
    return make_spec(**dask_settings.of_cluster(given))


def test_what_is_set_counts_where_nothing_is_given() -> None:
    settings = {
        "distributed.worker.resources": {"GPU": 2},
        "distributed.worker.memory.target": 0.4,
        "distributed.worker.memory.terminate": False,
        "distributed.worker.lifetime.duration": "1 hour",
        "distributed.scheduler.allowed-failures": 7,
        "temporary-directory": "/scratch",
    }
    with dask.config.set(settings):
        spec = spec_of()
        assert (spec.resources, spec.local_directory) == ({"GPU": 2}, "/scratch")
        assert (spec.memory.target, spec.memory.terminate, spec.memory.pause) == (0.4, None, 0.8)
        assert spec.workers.lifetime.seconds == 3600
        assert spec.scheduler.allowed_failures == 7
        assert spec_of(memory_target_fraction=0.5, resources={"FPGA": 1}).memory.target == 0.5
        assert spec_of(scheduler_kwargs={"allowed_failures": 1}).scheduler.allowed_failures == 1
        assert spec_of(scheduler_kwargs={"idle_timeout": 5}).scheduler.allowed_failures == 7
    assert spec_of().resources == {}


def test_variables_that_are_set_and_those_that_are_given_both_count() -> None:
    with dask.config.set({"distributed.nanny.environ": {"ONE": 1, "TWO": 2}}):
        environment = spec_of(env={"TWO": "two", "THREE": "3"}).environment
    assert (environment["ONE"], environment["TWO"], environment["THREE"]) == ("1", "two", "3")


def test_an_error_names_the_setting_it_comes_from() -> None:
    with dask.config.set({"distributed.worker.memory.target": "lots"}):
        with (
            pytest.raises(TypeError, match=r"memory_target_fraction='lots'.*'distributed.worker.memory.target'"),
            dask_settings.named({}),
        ):
            spec_of()
        given = {"memory_target_fraction": 0.5, "memory_pause_fraction": "too"}
        with pytest.raises(TypeError, match=r"memory_pause_fraction='too'[^(]*$"), dask_settings.named(given):
            spec_of(**given)


def test_what_the_defaults_say_was_set_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask.config, "defaults", [*dask.config.defaults, {"distributed": {"worker": {"preload": "x"}}}])
    with dask.config.set({"distributed.worker.preload": "x"}):
        assert "preload" not in dask_settings.of_cluster({})
    with dask.config.set({"distributed.worker.preload": "y"}):
        assert dask_settings.of_cluster({})["preload"] == "y"


def test_defaults_that_are_mappings_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    more = [{"distributed": {"nanny": {"environ": environ}}} for environ in (None, {"ONE": 1, "TWO": 1}, {"TWO": 2})]
    monkeypatch.setattr(dask.config, "defaults", [*dask.config.defaults, *more])
    with dask.config.set({"distributed.nanny.environ": {"ONE": 1, "TWO": 2}}):
        assert "env" not in dask_settings.of_cluster({})
    with dask.config.set({"distributed.nanny.environ": {"ONE": 1, "TWO": 1}}):
        assert dask_settings.of_cluster({})["env"] == {"ONE": 1, "TWO": 1}


def test_to_look_a_clients_settings_up_merges_no_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    with dask.config.set({"distributed.comm.timeouts.connect": "7s"}):
        monkeypatch.delattr(dask.config, "merge")
        assert dask_settings.keywords_set(dask_settings.CLIENTS) == {"timeout": "7s"}


def test_every_setting_is_one_of_the_peers() -> None:
    file = Path(str(importlib.import_module("distributed").__file__)).with_name("distributed.yaml")
    there = yaml.safe_load(file.read_text()) | {"temporary-directory": None}
    for setting in (name for table in TABLES for name in table.values()):
        assert dask.config.get(setting, "missing", config=there) != "missing", setting


def test_dask_is_not_imported_for_it() -> None:
    script = (
        "import sys; from nbcluster import dask_settings as d; "
        "assert d.of_cluster({'n_workers': 1}) == {'n_workers': 1}; assert 'dask' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
