from __future__ import annotations

import gc
import weakref

from nbcluster.protocol.payload import Payload


class Model:
    def __init__(self) -> None:
        self.mine: Payload | None = None


def test_a_live_object_that_holds_its_own_payload_is_collected() -> None:
    model = Model()
    model.mine = Payload.of_live(model)
    alive = weakref.ref(model)
    del model
    gc.collect()
    assert alive() is None


def test_payloads_do_not_make_the_garbage_collector_run() -> None:
    payload = Payload(b"x")
    gc.disable()
    try:
        before = gc.get_count()[0]
        kept = [payload.open() for _ in range(1000)]
        assert gc.get_count()[0] - before < 100
    finally:
        gc.enable()
    assert kept[0] == payload
