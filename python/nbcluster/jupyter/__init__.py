"""nbcluster in Jupyter: the server extension, and how kernels find it.

Kernels import ``nbcluster.jupyter.discovery``, often where no Jupyter server is installed: importing this
package imports nothing.
"""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from nbcluster.jupyter.extension import NbclusterApp

    return [{"module": "nbcluster", "app": NbclusterApp}]
