"""What a cluster tells of itself in its scheduler's metadata, for clients that know no more than its address."""

from __future__ import annotations

import asyncio

from nbcluster.beats import until_beat
from nbcluster.cluster.spec import ClusterSpec
from nbcluster.protocol.coordination import Leaf
from nbcluster.protocol.serialize import dump
from nbcluster.scheduler.coordination.metadata import Metadata

PLACE = "cluster-manager-info"


async def keep_introduced(metadata: Metadata, spec: ClusterSpec) -> None:
    """Write it down, and again whenever ``sync_interval`` is over: clients may have written something else."""
    told = {"name": spec.name, "type": spec.kind}
    leaves = [Leaf([repr(name)], dump(value)) for name, value in told.items()]
    while True:
        metadata.put([repr(PLACE)], leaves)
        await asyncio.sleep(until_beat(spec.sync_interval))
