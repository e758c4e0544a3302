"""The plugins, and what they are made from, under the name by which many import them."""

from __future__ import annotations

from nbcluster.plugins.base import NannyPlugin, SchedulerPlugin, WorkerPlugin
from nbcluster.plugins.files import UploadDirectory, UploadFile
from nbcluster.plugins.install import CondaInstall, Environ, InstallPlugin, PipInstall
from nbcluster.plugins.output import ForwardOutput

__all__ = [
    "CondaInstall",
    "Environ",
    "ForwardOutput",
    "InstallPlugin",
    "NannyPlugin",
    "PipInstall",
    "SchedulerPlugin",
    "UploadDirectory",
    "UploadFile",
    "WorkerPlugin",
]
