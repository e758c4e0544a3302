"""A worker's answers to questions about itself: what its threads do, what happened to keys, what it runs on."""

from __future__ import annotations

import linecache
import threading
import time
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

from nbcluster import versions
from nbcluster.comm.sampling import AtWork, History, Sampler, frames_of_others, stack_of
from nbcluster.protocol import inspection as i
from nbcluster.protocol.profiles import Profile
from nbcluster.types import Key, RunId, key_prefix
from nbcluster.worker.core import WorkerCore
from nbcluster.worker.executor import Executor
from nbcluster.worker.runner import Runner
from nbcluster.worker.state import STATE_NAMES
from nbcluster.worker.story import StoryLine


class Inspector:
    """Looks at one worker. Its answers are made on the event loop; its sampler has a thread of its own."""

    def __init__(self, core: WorkerCore, executor: Executor) -> None:
        self._core = core
        self._executor = executor
        self._loop_thread = threading.get_ident()
        self._of_tasks, self._of_loop = History(), History()
        self.sampler = Sampler(self._at_work)
        self._answers: dict[type, Callable[[Any], i.AnySight]] = {
            i.LookAtRuns: self._runs,
            i.LookAtStory: self._story,
            i.LookAtVersions: _versions,
            i.LookAtProfile: self._profile,
            i.LookAtState: self._state,
        }

    def see(self, look: i.AnyLook) -> i.AnySight:
        """Answer a question."""
        return self._answers[type(look)](look)

    # --- profiles ---

    def _at_work(self) -> list[AtWork]:
        runs = self._core.state.runs
        working = []
        for at in self._executor.at_work():
            if at.waits:
                continue
            run = runs.get(at.run_id)
            name = key_prefix(run.task.key) if run is not None else ""
            working.append(AtWork(self._of_tasks, name, at.ident, Runner.run.__code__))
        if working:
            working.append(AtWork(self._of_loop, "", self._loop_thread))
        return working

    def _profile(self, look: i.LookAtProfile) -> Profile:
        if look.loop:
            return self._of_loop.profile(None, look.start, look.stop)
        return self._of_tasks.profile(look.prefix, look.start, look.stop)

    # --- runs ---

    def _runs(self, look: i.LookAtRuns) -> i.Runs:
        wanted = None if look.keys is None else frozenset(look.keys)
        frames, now = frames_of_others(), time.monotonic()
        runs, running = self._core.state.runs, set()
        seen: list[i.RunSight] = []
        unwanted: set[RunId] = set()
        for at in self._executor.at_work():
            run = runs.get(at.run_id)
            if run is not None and wanted is not None and run.task.key not in wanted:
                continue
            stack = stack_of(frames.get(at.ident), Runner.run.__code__)
            if run is None:
                if stack and not at.waits:
                    unwanted.add(at.run_id)
                continue
            if not stack and at.waits:
                continue
            running.add(at.run_id)
            seconds = max(0.0, now - at.since)
            seen.append(i.RunSight(run.task.key, "running", seconds, at.thread, _described(stack)))
        for key in look.keys or ():
            run = self._core.state.by_key.get(key)
            if run is None or run.task.run_id in running:
                continue
            fetches = list(run.waiting_on or ())
            if fetches:
                holders = sorted({fetch.holder for fetch in fetches})
                seen.append(i.RunSight(key, "fetching", missing=[fetch.key for fetch in fetches], holders=holders))
            else:
                seen.append(i.RunSight(key, "queued", abandoned=self._keys_of(unwanted)))
        return i.Runs(seen)

    def _keys_of(self, run_ids: set[RunId]) -> list[Key]:
        """The tasks of runs that are only in the story any more."""
        if not run_ids:
            return []
        return list(dict.fromkeys(line[1] for line in self._core.state.story if line[2] in run_ids))

    # --- the rest ---

    def _story(self, look: i.LookAtStory) -> i.StoryLines:
        return i.StoryLines(self._lines(self._core.state.story.of(*look.names)))

    def _lines(self, story: Iterable[StoryLine]) -> list[i.StoryLine]:
        now = time.monotonic()
        return [
            i.StoryLine(
                now - line.time, line.key, STATE_NAMES[line.before], STATE_NAMES[line.after], f"run {line.run_id}"
            )
            for line in story
        ]

    def _state(self, look: i.LookAtState) -> i.WorkerDump:
        state = self._core.state
        runs = []
        for run in state.runs.values():
            waiting_on: list[Key] = [fetch.key for fetch in run.waiting_on or ()]
            runs.append(i.RunDump(run.task.key, run.task.run_id, STATE_NAMES[run.state], waiting_on))
        fetching = {key: fetch.holder for key, fetch in state.fetches.items()}
        return i.WorkerDump(runs, dict(state.held), fetching, self._lines(StoryLine(*line) for line in state.story))


def _versions(look: i.LookAtVersions) -> i.Versions:
    return i.Versions(versions.host(), versions.packages(look.packages))


def _described(stack: Iterable[FrameType]) -> list[str]:
    lines = []
    for frame in stack:
        code, number = frame.f_code, frame.f_lineno or 0
        source = linecache.getline(code.co_filename, number, frame.f_globals).strip()
        text = f'File "{code.co_filename}", line {number}, in {code.co_name}'
        lines.append(f"{text}\n\t{source}" if source else text)
    return lines
