"""``client.get`` of a graph that fails: nobody wants the rest of it any more."""

from __future__ import annotations

import traceback
from typing import Any

import dask
import pytest

from tests.contracts.gates import Gate, Mishap, at_gate, fail_with
from tests.support.eventually import eventually


def fail_beside(client: Any, gate: Gate) -> Mishap:
    """Have a task fail while another of its graph waits at the gate; the error keeps its traceback."""
    graph = {"slow": (at_gate, gate), "bad": (_fail_when_visited, gate)}
    with pytest.raises(Mishap) as caught:
        client.get(graph, ["slow", "bad"])
    return caught.value


def _fail_when_visited(gate: Gate) -> None:
    gate.wait_for_visitors(1)
    fail_with("beside it")


def test_what_else_it_would_compute_is_let_go_of(client: Any, gate: Gate) -> None:
    error = fail_beside(client, gate)
    eventually(lambda: not {"slow", "bad"} & set(client.futures), "the futures are gone")
    eventually(lambda: not any(client.processing().values()), "nothing is being run")
    assert error.__traceback__ is not None, "as in a notebook, which keeps the last one"


def test_so_it_is_when_dask_computes(client: Any, gate: Gate) -> None:
    bad = dask.delayed(_fail_when_visited)(gate, dask_key_name="bad")
    slow = dask.delayed(at_gate)(gate, dask_key_name="slow")
    with pytest.raises(Mishap) as caught:
        dask.compute(slow, bad)
    eventually(lambda: not {"slow", "bad"} & set(client.futures), "the futures are gone")
    eventually(lambda: not any(client.processing().values()), "nothing is being run")
    del caught


def test_a_traceback_goes_from_the_call_to_the_task(client: Any) -> None:
    future = client.submit(fail_with, "in the task")
    for ask in (future.result, lambda: client.gather([future]), lambda: client.get({"x": (fail_with, "now")}, "x")):
        with pytest.raises(Mishap) as caught:
            ask()
        frames = traceback.extract_tb(caught.value.__traceback__)
        assert frames[-1].name == "fail_with"
        assert len(frames) < 6, [frame.filename for frame in frames]
