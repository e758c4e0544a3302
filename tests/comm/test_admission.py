from __future__ import annotations

from nbcluster.comm.admission import Admission, HandshakePolicy


class Stranger:
    def __init__(self) -> None:
        self.aborted = 0

    def abort(self) -> None:
        self.aborted += 1


def test_who_has_waited_longest_makes_way() -> None:
    admission = Admission(HandshakePolicy(waiting=2))
    strangers = [Stranger() for _ in range(4)]
    for stranger in strangers:
        admission.enter(stranger)
    assert [stranger.aborted for stranger in strangers] == [1, 1, 0, 0]
    assert len(admission) == 2


def test_who_is_through_leaves_room() -> None:
    admission = Admission(HandshakePolicy(waiting=1))
    first, second = Stranger(), Stranger()
    admission.enter(first)
    admission.leave(first)
    admission.leave(first)
    admission.enter(second)
    assert (first.aborted, second.aborted) == (0, 0)


def test_all_can_be_sent_away_at_once() -> None:
    class Leaving(Stranger):
        def abort(self) -> None:
            super().abort()
            admission.leave(self)

    admission = Admission(HandshakePolicy())
    strangers = [Leaving() for _ in range(3)]
    for stranger in strangers:
        admission.enter(stranger)
    admission.clear()
    assert [stranger.aborted for stranger in strangers] == [1, 1, 1]
    assert len(admission) == 0
