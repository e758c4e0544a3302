from __future__ import annotations

from nbcluster.cluster.logs import Log, Logs, logs_by_source
from nbcluster.snapshot import LogLine


def line(source: str, text: str) -> LogLine:
    return LogLine(time=0.0, source=source, level="INFO", text=text)


def test_lines_are_sorted_by_source_in_their_order() -> None:
    lines = [line("Scheduler", "one"), line("tcp://w", "print"), line("Scheduler", "two")]
    logs = logs_by_source(lines, ["Cluster", "Scheduler", "tcp://w"])
    assert logs == {"Cluster": "", "Scheduler": "one\ntwo", "tcp://w": "print"}
    assert list(logs) == ["Cluster", "Scheduler", "tcp://w"]


def test_sources_that_nobody_asked_for_are_left_out() -> None:
    assert logs_by_source([line("Scheduler", "one")], ["Cluster"]) == {"Cluster": ""}


def test_they_are_dicts_of_text() -> None:
    logs = logs_by_source([line("Scheduler", "one")], ["Scheduler"])
    assert isinstance(logs, dict)
    assert isinstance(logs["Scheduler"], str)
    assert repr(logs) == "{'Scheduler': 'one'}"


def test_they_show_in_a_notebook_with_levels_in_colour() -> None:
    html = Logs({"Scheduler": Log("a - INFO - fine\na - WARNING - hm\na - ERROR - no")})._repr_html_()
    assert "<summary>Scheduler</summary>" in html
    assert '<span style="color:orange">a - WARNING - hm</span>' in html
    assert '<span style="color:crimson">a - ERROR - no</span>' in html
    assert '<span style="color:inherit">a - INFO - fine</span>' in html


def test_hostile_text_is_escaped() -> None:
    html = Logs({"<b>w": Log("<script>alert(1)</script>")})._repr_html_()
    assert "<script>" not in html
    assert "<b>w" not in html
    assert "&lt;script&gt;" in html
