"""How every frame ended, on either side: a small state machine without clocks of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from asyncmde_sim.runtime.trace import Fate

ENDS = (Fate.DELIVERED, Fate.SUPERSEDED, Fate.LATE, Fate.LOST)


@dataclass(frozen=True)
class Totals:
    """Counts of frames: ``opened = delivered + superseded + late + lost + open``.

    Args:
        opened: Sent, on the host; received, on the device.
        delivered: Answered with an estimate.
        superseded: Answered without one: a newer frame came first.
        late: Answered after the deadline, or after a newer frame's answer.
        lost: Never answered.
        open: Not ended yet.
        strays: Answers to frames that had ended: duplicates.
    """

    opened: int = 0
    delivered: int = 0
    superseded: int = 0
    late: int = 0
    lost: int = 0
    open: int = 0
    strays: int = 0

    def __post_init__(self) -> None:
        if self.opened != self.delivered + self.superseded + self.late + self.lost + self.open:
            raise ValueError(f"the accounts do not add up: {self}")


class FrameAccounts:
    """Frames that were opened, and how each ended. Frame numbers grow.

    Args:
        deadline_ns: From this age an open frame is overdue: no longer in flight, and late if it is answered.
    """

    def __init__(self, deadline_ns: int | None = None) -> None:
        self._deadline_ns = deadline_ns
        self._open: dict[int, int] = {}
        self._overdue: set[int] = set()
        self._ended = dict.fromkeys(ENDS, 0)
        self._opened = self._strays = 0
        self._last = 0
        self._newest_delivered = 0

    def begin(self, frame: int, now_ns: int) -> None:
        """Open a frame.

        Raises:
            ValueError: Its number is not above all others.
        """
        if frame <= self._last:
            raise ValueError(f"frame {frame} came after frame {self._last}: numbers must grow")
        self._last = frame
        self._opened += 1
        self._open[frame] = now_ns

    def restart(self) -> None:
        """Frames are numbered from 1 again, as in a new session; what is open is lost."""
        self.lose(list(self._open))
        self._last = self._newest_delivered = 0

    def answer(self, frame: int, now_ns: int, superseded: bool = False, useless: bool = False) -> Fate | None:
        """End a frame that was answered; None if it is not open.

        Args:
            frame: Its number.
            now_ns: Present time.
            superseded: The answer has no estimate.
            useless: The estimate comes too late whatever its age: its episode is over.
        """
        self.expire(now_ns)
        if frame not in self._open:
            self._strays += 1
            return None
        if superseded:
            fate = Fate.SUPERSEDED
        elif useless or frame in self._overdue or frame < self._newest_delivered:
            fate = Fate.LATE
        else:
            fate = Fate.DELIVERED
            self._newest_delivered = frame
        self._end(frame, fate)
        return fate

    def lose(self, frames: Iterable[int]) -> None:
        """End frames that will never be answered."""
        for frame in frames:
            self._end(frame, Fate.LOST)

    def expire(self, now_ns: int) -> None:
        """Note what has become overdue."""
        if self._deadline_ns is not None:
            late = [f for f, since in self._open.items() if now_ns - since > self._deadline_ns]
            self._overdue.update(late)

    @property
    def open(self) -> list[int]:
        """Frames that have not ended, oldest first."""
        return list(self._open)

    @property
    def in_flight(self) -> int:
        """Open frames that are not overdue."""
        return len(self._open) - len(self._overdue)

    @property
    def totals(self) -> Totals:
        """All counts."""
        ended = {fate.value: count for fate, count in self._ended.items()}
        return Totals(self._opened, **ended, open=len(self._open), strays=self._strays)

    def _end(self, frame: int, fate: Fate) -> None:
        del self._open[frame]
        self._overdue.discard(frame)
        self._ended[fate] += 1
