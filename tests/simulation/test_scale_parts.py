"""The simulator's parts: links, workloads, the ideal, tables and the picture."""

from __future__ import annotations

import random
from xml.etree import ElementTree

import pytest

from tests.simulation.scale.cluster import Life
from tests.simulation.scale.engine import Engine
from tests.simulation.scale.ideal import ideal_makespan
from tests.simulation.scale.network import Link, Network, NetworkModel
from tests.simulation.scale.plot import plot
from tests.simulation.scale.report import markdown, replaced, tables
from tests.simulation.scale.results import Result
from tests.simulation.scale.workloads import SHARED_KEY, WORKLOADS, StreamedTask, arguments, read_arguments

RESULTS = [Result(name, w, 40 * w, 1.0, 2.0, 0.001, 0.01, 0.4, 2e-5, 9, 1.0) for name in WORKLOADS for w in (10, 100)]


def test_a_link_keeps_the_order_and_different_links_do_not() -> None:
    engine = Engine()
    network = Network(engine, NetworkModel(delay=1.0, jitter=1.0), random.Random(1))
    arrived: list[tuple[int, int]] = []
    links = [Link(network, lambda number, link=link: arrived.append((link, number))) for link in range(2)]
    for number in range(50):
        for link in links:
            link.send(number)
    engine.run()
    assert [[n for link, n in arrived if link == which] for which in range(2)] == [list(range(50))] * 2
    assert arrived != sorted(arrived, key=lambda pair: pair[1])


@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize("count", [80, 400, 1001])
def test_streams_name_only_what_came_before_and_count_who_depends(workload: str, count: int) -> None:
    tasks = list(WORKLOADS[workload].stream(count, 0.01, random.Random(1)))
    assert len(tasks) == pytest.approx(count, rel=0.2)
    assert len({task.key for task in tasks}) == len(tasks)
    dependents = dict.fromkeys((task.key for task in tasks), 0)
    levels = {SHARED_KEY: -1}
    for task in tasks:
        assert task.duration >= 0.01
        assert all(levels[key] < task.level for key in task.dependencies)
        levels[task.key] = task.level
        for key in set(task.dependencies) - {SHARED_KEY}:
            dependents[key] += 1
    assert dependents == {task.key: task.dependents for task in tasks}


def test_a_reduction_ends_in_one_result() -> None:
    for count in range(1, 200):
        tasks = list(WORKLOADS["reduction"].stream(count, 0.01, random.Random(1)))
        assert [task.key for task in tasks if not task.dependents] == [tasks[-1].key]


def test_arguments_say_how_long_and_how_large() -> None:
    assert read_arguments(arguments(StreamedTask("f-0", 0.25, 1000))) == (0.25, 1000)


# --- the ideal ---

ALWAYS = Life(0.0, 1.0)


def test_at_best_independent_tasks_fill_all_threads() -> None:
    tasks = [StreamedTask(f"f-{number}", 1.0) for number in range(12)]
    assert ideal_makespan(tasks, [ALWAYS] * 2, 2, 0.1) == pytest.approx(3.0 + 0.2)


def test_at_best_a_chain_takes_its_length_and_a_round_trip_for_each_step() -> None:
    chain = [StreamedTask("f-0", 1.0, dependents=1), StreamedTask("f-1", 1.0, dependencies=("f-0",), level=1)]
    assert ideal_makespan(chain, [ALWAYS] * 5, 1, 0.1) == pytest.approx(2.0 + 0.1 + 0.2)


def test_at_best_the_fastest_is_taken_and_what_was_lost_is_run_again() -> None:
    tasks = [StreamedTask("f-0", 1.0)]
    assert ideal_makespan(tasks, [Life(0.0, 1.0), Life(0.0, 2.0)], 1, 0.0) == pytest.approx(0.5)
    lives = [Life(0.0, 1.0), Life(0.0, 2.0, left=0.4, crashed=True)]
    assert ideal_makespan(tasks, lives, 1, 0.0) == pytest.approx(1.4)
    gently = [Life(0.0, 1.0), Life(0.0, 2.0, left=0.4)]
    assert ideal_makespan(tasks, gently, 1, 0.0) == pytest.approx(0.5)


# --- the page ---


def test_there_is_a_table_for_each_figure_with_all_workloads() -> None:
    text = tables(RESULTS)
    assert text.count("**") == 2 * 5
    assert all(text.count(f"| {workload.title} ") == 5 for workload in WORKLOADS.values())


def test_numbers_are_to_the_right() -> None:
    assert markdown([["a", "b"], ["x", "1"]]) == "| a   |   b |\n| --- | --: |\n| x   |   1 |"


def test_only_the_generated_part_of_a_page_is_replaced() -> None:
    page = "before\n<!-- one: generated -->\nold\n<!-- one: end -->\nafter"
    once = replaced(page, "one", "new")
    assert once == "before\n<!-- one: generated -->\n\nnew\n\n<!-- one: end -->\nafter"
    assert replaced(once, "one", "new") == once


def test_a_page_without_the_place_is_refused() -> None:
    with pytest.raises(ValueError, match="two: generated"):
        replaced("<!-- one: generated --><!-- one: end -->", "two", "new")


def test_the_picture_is_well_formed_and_shows_every_result() -> None:
    picture = ElementTree.fromstring(plot(RESULTS))
    dots = picture.findall("{http://www.w3.org/2000/svg}circle")
    assert len(dots) == 3 * len(RESULTS)
    words = {text.text for text in picture.findall("{http://www.w3.org/2000/svg}text")}
    assert {workload.title for workload in WORKLOADS.values()} <= words
