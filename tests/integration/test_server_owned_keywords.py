"""A cluster as a Jupyter server starts it: its keywords are opaque bytes that only the process of the cluster opens."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import cloudpickle  # type: ignore[import-untyped]

from nbcluster import Client
from nbcluster.comm.security import Security
from nbcluster.engines.native import ProcessEngine
from nbcluster.engines.registry import EngineSpec


def _with_cluster(keywords: dict[str, Any], security: Security | None) -> int:
    async def main() -> int:
        engine = ProcessEngine(EngineSpec(id="a" * 16, name="ada", pickled_keywords=cloudpickle.dumps(keywords)))
        await engine.start()
        try:
            assert engine.view.address.startswith("tls://127.0.0.1:")
            address = engine.access.address if security is None else engine.view.address
            async with Client(address, asynchronous=True, security=security, set_as_default=False) as client:
                left, right = client.submit(bytes, 200_000, pure=False), client.submit(bytes, 200_000, pure=False)
                return len(await left) + len(await right)
        finally:
            await engine.close()

    return asyncio.run(asyncio.wait_for(main(), 60))


def test_a_kernel_needs_no_credentials_of_the_cluster_that_its_server_keeps(tmp_path: Path) -> None:
    (tmp_path / "mark.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w').close()")
    keywords = {
        "security": True,
        "n_workers": 2,
        "threads_per_worker": 1,
        "preload": str(tmp_path / "mark.py"),
        "blocked_handlers": ["run_function"],
        "scheduler_kwargs": {"idle_timeout": "1h"},
    }
    assert _with_cluster(keywords, None) == 400_000
    assert (tmp_path / "mark").exists()


def test_credentials_of_ones_own_travel_there() -> None:
    security = Security.temporary()
    assert _with_cluster({"security": security, "n_workers": 1, "threads_per_worker": 1}, security) == 400_000
