"""What attackers of a port need, and how to see that it still serves honest clients."""

from __future__ import annotations

import hmac
import struct

from nbcluster.protocol.framing import GOODBYE, INLINE
from nbcluster.protocol.handshake import MAGIC
from nbcluster.protocol.messages import (
    PROTOCOL_VERSION,
    DataItem,
    PutData,
    ReleaseKeys,
    WantKeys,
)
from nbcluster.protocol.payload import Frame, Payload
from tests.support.links import Wire, frames

MIB = 1 << 20


HELLO = struct.Struct("<8sHB32s")


def honest_stream() -> bytes:
    """What a client might send: three frames, with small and large buffers, and a goodbye."""
    return (
        frames(WantKeys(["a", "b"]))
        + frames(PutData([DataItem("k", Payload(b"p", (Frame(b"small"), Frame(bytes(INLINE)))), 3, "t")]))
        + frames(ReleaseKeys(["a"]))
        + GOODBYE
    )


async def still_serves(made: Wire) -> None:
    """An honest client gets in, and its messages through."""
    made.accepted.clear()
    near, _, _, recorder = await made.started()
    near.send(WantKeys(["honest"]))
    assert await recorder.count(1) == [WantKeys(["honest"])]
    await near.close()
    assert await recorder.end() is None


def forge(token: bytes, begin: bytes, challenge: bytes) -> bytes:
    """The proof that somebody with this token would give."""
    said = struct.pack("<HB", PROTOCOL_VERSION, begin[10]) + begin[11:43] + challenge[11:43]
    return hmac.digest(token, MAGIC + b"connector" + said, "sha256")
