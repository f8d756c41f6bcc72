"""What became of reloads: the table of their states, and the rows."""

from __future__ import annotations

import itertools

import pytest

from dimserver.supervisor.reloads import AFTER, MOST_DETAIL, MOST_KEPT, Outcome, Reload, Reloads


@pytest.mark.parametrize(("before", "after"), list(itertools.product(Outcome, Outcome)))
def test_every_step(before: Outcome, after: Outcome) -> None:
    entry = Reload(1, "me")
    entry.outcome = before
    if after in AFTER[before]:
        entry.step(after, "because", "detail")
        assert (entry.outcome, entry.reason, entry.detail) == (after, "because", "detail")
        assert entry.is_over is (after in (Outcome.DONE, Outcome.FAILED))
    else:
        with pytest.raises(RuntimeError, match=f"reload 1: {after.value} after {before.value}"):
            entry.step(after, "because")
        assert (entry.outcome, entry.reason) == (before, "")


def test_rows() -> None:
    reloads = Reloads()
    assert reloads.last is None
    first, second = reloads.ask("SIGHUP"), reloads.ask("uid 0")
    first.step(Outcome.RUNNING)
    first.step(Outcome.FAILED, "no", "x" * MOST_DETAIL + "end")
    assert reloads.last is second
    one, other = reloads.rows()
    assert (one["id"], one["state"], one["by"], one["reason"]) == ("1", "failed", "SIGHUP", "no")
    assert len(one["detail"]) == MOST_DETAIL
    assert one["detail"].endswith("end")
    assert (other["id"], other["state"], other["by"], other["reason"]) == ("2", "waiting", "uid 0", "")
    assert other["seconds"] >= 0
    assert reloads.rows()[0]["seconds"] == one["seconds"]  # it is over


def test_the_last_are_kept() -> None:
    reloads = Reloads()
    for _ in range(MOST_KEPT + 3):
        reloads.ask("me")
    assert [row["id"] for row in reloads.rows()] == [str(number) for number in range(4, MOST_KEPT + 4)]
