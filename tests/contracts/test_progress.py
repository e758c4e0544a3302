"""``progress``: a bar that fills while futures get done."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.contracts.gates import Gate, at_gate, identity, inc

Groups = list[str]


def group_of(key: str) -> str:
    return "tens" if "ten" in key else "others"


def test_in_a_terminal_it_waits_until_all_are_done(api: Any, client: Any, gate: Gate) -> None:
    futures = [*client.map(inc, range(3), pure=False), client.submit(at_gate, gate)]
    waiting = threading.Thread(target=api.progress, args=(futures,), kwargs={"notebook": False})
    waiting.start()
    gate.wait_for_visitors()
    assert waiting.is_alive()
    gate.open()
    waiting.join(20)
    assert not waiting.is_alive()
    assert all(future.done() for future in futures)


def test_in_a_terminal_those_that_failed_are_done(api: Any, client: Any) -> None:
    future = client.submit(divmod, 1, 0, pure=False)
    api.progress(future, notebook=False, complete=False)
    assert future.status == "error"


@pytest.mark.parametrize("multi", [True, False])
@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("group_by", ["prefix", group_of])
def test_in_a_notebook_it_is_something_to_display_and_the_cell_goes_on(
    api: Any, client: Any, gate: Gate, multi: bool, complete: bool, group_by: Any
) -> None:
    pytest.importorskip("ipywidgets")
    future = client.submit(at_gate, gate)
    bar = api.progress(future, notebook=True, multi=multi, complete=complete, group_by=group_by)
    assert not future.done()
    assert callable(bar._ipython_display_)
    gate.open()


def test_groups_are_made_by_prefix_or_by_a_function(api: Any, client: Any) -> None:
    with pytest.raises(ValueError, match="group_by"):
        api.progress(client.submit(inc, 1), notebook=True, group_by="colour")


@pytest.mark.parametrize("notebook", [True, False])
def test_how_often_it_looks_and_how_wide_it_is_can_be_said(api: Any, client: Any, notebook: bool) -> None:
    future = client.submit(inc, 1, pure=False)
    api.progress(future, notebook=notebook, interval="20 ms", width=10)
    assert future.result() == 2


@pytest.mark.differs("progress")
def test_a_bar_in_a_terminal_is_as_wide_as_it_is_to_be(api: Any, client: Any, capsys: Any) -> None:
    api.progress(client.submit(inc, 1), notebook=False, width=7)
    assert "[#######] 1 of 1" in capsys.readouterr().err


@pytest.mark.differs("bad input")
@pytest.mark.parametrize("wrong", [{"interval": "soon"}, {"width": 0}, {"width": "wide"}])
def test_what_is_no_width_or_interval_is_refused(api: Any, client: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match=f"{next(iter(wrong))}="):
        api.progress(client.submit(inc, 1), notebook=False, **wrong)


def shown(bar: Any) -> Groups:
    """What a bar's HTML has one row for."""
    return [part.partition('"')[0] for part in bar._repr_html_().split('aria-label="')[1:]]


@pytest.mark.differs("progress")
def test_each_function_has_a_bar_or_each_group_or_all_share_one(api: Any, client: Any) -> None:
    futures = [client.submit(inc, 1), client.submit(identity, 10, key="ten"), client.submit(identity, 11, key="ten-1")]
    client.gather(futures)
    assert shown(api.progress(futures, notebook=True)) == ["inc", "ten"]
    assert shown(api.progress(futures, notebook=True, group_by=group_of)) == ["others", "tens"]
    assert shown(api.progress(futures, notebook=True, multi=False)) == [""]


@pytest.mark.differs("progress")
def test_what_was_done_before_counts_or_not(api: Any, client: Any, gate: Gate) -> None:
    futures = [client.submit(inc, 1, pure=False), client.submit(at_gate, gate)]
    futures[0].result()
    assert repr(api.progress(futures, notebook=True)) == "<Progress: 1 of 2>"
    assert repr(api.progress(futures, notebook=True, complete=False)) == "<Progress: 0 of 1>"
    gate.open()
