"""What measures work on a cluster: reports, streams of tasks, samples of memory."""

from __future__ import annotations

from nbcluster.diagnostics.memory_sampler import MemorySampler
from nbcluster.diagnostics.report import performance_report
from nbcluster.diagnostics.task_metadata import get_task_metadata
from nbcluster.diagnostics.task_stream import get_task_stream

__all__ = ["MemorySampler", "get_task_metadata", "get_task_stream", "performance_report"]
