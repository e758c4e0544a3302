"""A real Jupyter server in the test's process, with the extension on fake engines.

pytest-jupyter's fixtures come one by one: two of them are ``autouse``, and make a server for tests that want
none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from jupyter_core.utils import ensure_event_loop
from jupyter_server.serverapp import ServerApp
from pytest_jupyter.jupyter_core import (  # noqa: F401
    echo_kernel_spec,
    jp_config_dir,
    jp_data_dir,
    jp_env_config_path,
    jp_env_jupyter_path,
    jp_environ,
    jp_home_dir,
    jp_kernel_dir,
    jp_runtime_dir,
    jp_system_config_path,
    jp_system_jupyter_path,
    pytest_pycollect_makeitem,
    pytest_pyfunc_call,
)
from pytest_jupyter.jupyter_server import (  # noqa: F401
    jp_argv,
    jp_auth_header,
    jp_configurable_serverapp,
    jp_fetch,
    jp_http_port,
    jp_logging_stream,
    jp_nbconvert_templates,
    jp_root_dir,
    jp_serverapp,
    jp_web_app,
    jp_ws_fetch,
)
from pytest_jupyter.pytest_tornasync import http_server, http_server_client, http_server_port  # noqa: F401
from traitlets.config import Config

from nbcluster.engines import registry
from nbcluster.jupyter.extension import NbclusterExtension
from tests.support.fake_engine import FakeEngine


@pytest.fixture
def jp_asyncio_loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = ensure_event_loop(prefer_selector_loop=True)
    yield loop
    loop.close()
    asyncio.set_event_loop(None)


@pytest.fixture
def jp_base_url() -> str:
    return "/some/where/"


@pytest.fixture
def server_config() -> dict[str, Any]:
    """What a test adds to the configuration of the server."""
    return {}


@pytest.fixture
def jp_server_config(server_config: dict[str, Any]) -> Config:
    config = Config(
        {
            "ServerApp": {
                "jpserver_extensions": {"nbcluster": True, "jupyter_server_terminals": False},
                "allow_unauthenticated_access": False,
                "reraise_server_extension_failures": True,
            },
            "ClusterManager": {"engine": "fake"},
        }
    )
    config.merge(Config(server_config))
    return config


@pytest.fixture
def engines() -> Iterator[list[FakeEngine]]:
    """The engines that the server makes, in order."""
    made: list[FakeEngine] = []

    def make(spec: registry.EngineSpec) -> FakeEngine:
        made.append(FakeEngine(spec))
        return made[-1]

    registry.register("fake", make)
    yield made
    registry.unregister("fake")


@pytest.fixture
def app(
    engines: list[FakeEngine],
    jp_serverapp: Any,  # noqa: F811
    jp_asyncio_loop: asyncio.AbstractEventLoop,
) -> Iterator[NbclusterExtension]:
    """The extension, in a server that runs."""
    extension: NbclusterExtension = jp_serverapp.extension_manager.extension_points["nbcluster"].app
    jp_asyncio_loop.run_until_complete(jp_serverapp.extension_manager.start_all_extensions())
    yield extension
    jp_asyncio_loop.run_until_complete(jp_serverapp._cleanup())
    jp_serverapp.kernel_manager.context.destroy()
    ServerApp.clear_instance()


Fetch = Callable[..., Any]
