"""Latency traces: what became of every frame of a session, and when, to be charged again in simulation."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

FORMAT = "asyncmde-sim latency trace 1"
PENDING = 512
"""Frames a writer holds back for a slow run on them that is told of later."""
ROW_GROUP = 4096


class Fate(str, enum.Enum):
    """How a frame ended.

    All but ``withheld`` were sent to a device.
    """

    DELIVERED = "delivered"
    """Its estimate came, in time and newer than all before it."""
    SUPERSEDED = "superseded"
    """The device took a newer frame instead, or had no memory yet."""
    LATE = "late"
    """Its estimate came after its deadline, or after a newer one's."""
    LOST = "lost"
    """No answer came."""
    WITHHELD = "withheld"
    """A newer frame came before this one could be sent."""


@dataclass(frozen=True)
class FrameRecord:
    """One frame. Times are simulated, ns since the episode's first frame; None where nothing happened.

    Args:
        episode: Number of the episode in the session, from 0.
        seed: What the episode's latencies would have been drawn with: tells episodes apart.
        frame: Number of the frame in the episode, from 0.
        capture_ns: Capture.
        fate: How it ended.
        sent_ns: The host sent it.
        received_ns: The device had it.
        fast_start_ns: Start of the fast path's run on it.
        fast_end_ns: End of that run.
        available_ns: The host had the estimate.
        memory_frame: Number of the frame behind the memory which that run read.
        slow_start_ns: Start of the slow path's run on this frame.
        slow_end_ns: End of that run.
        clock_error_ns: Bound on the error of the device's times, where two clocks were compared.
        power_w: The device's power then.
    """

    episode: int
    seed: int
    frame: int
    capture_ns: int
    fate: Fate
    sent_ns: int | None = None
    received_ns: int | None = None
    fast_start_ns: int | None = None
    fast_end_ns: int | None = None
    available_ns: int | None = None
    memory_frame: int | None = None
    slow_start_ns: int | None = None
    slow_end_ns: int | None = None
    clock_error_ns: int | None = None
    power_w: float | None = None


_COLUMNS = tuple(field.name for field in fields(FrameRecord))


@dataclass(frozen=True)
class LatencyTrace:
    """A session's frames, to be replayed.

    Args:
        name: The file.
        episodes: Each episode's frames, numbered from 0 without a gap.
    """

    name: str
    episodes: tuple[tuple[FrameRecord, ...], ...]

    def __post_init__(self) -> None:
        if not self.episodes:
            raise ValueError(f"the latency trace {self.name} holds no frame: record another session")
        for episode in self.episodes:
            if [record.frame for record in episode] != list(range(len(episode))):
                raise ValueError(
                    f"episode {episode[0].episode} of the latency trace {self.name} has a gap: its frames "
                    "must be numbered from 0; record the session again"
                )

    def episode(self, seed: int) -> tuple[FrameRecord, ...]:
        """The episode that was recorded with this seed; any other seed picks one of them."""
        same = [episode for episode in self.episodes if episode[0].seed == seed]
        return same[0] if same else self.episodes[seed % len(self.episodes)]


@lru_cache(maxsize=4)
def _read(path: Path, stamp: int) -> LatencyTrace:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path} is no Parquet file ({error}): give a latency trace") from error
    if (table.schema.metadata or {}).get(b"format") != FORMAT.encode() or table.column_names != [*_COLUMNS]:
        raise ValueError(f"{path} is not of the format {FORMAT!r}: give a trace that a remote session left")
    episodes: dict[int, list[FrameRecord]] = {}
    for row in table.to_pylist():
        record = FrameRecord(**{**row, "fate": Fate(row["fate"])})
        episodes.setdefault(record.episode, []).append(record)
    ordered = (sorted(rows, key=lambda r: r.frame) for _, rows in sorted(episodes.items()))
    return LatencyTrace(str(path), tuple(tuple(rows) for rows in ordered))


def read_trace(path: Path) -> LatencyTrace:
    """Read what ``TraceWriter`` wrote.

    Raises:
        ValueError: It is no such file.
    """
    return _read(path, path.stat().st_mtime_ns)


def _schema(metadata: Mapping[str, str]) -> Any:
    import pyarrow as pa

    types = {"fate": pa.string(), "power_w": pa.float64()}
    columns = [(name, types.get(name, pa.int64())) for name in _COLUMNS]
    return pa.schema(columns, metadata={"format": FORMAT, **metadata})


class TraceWriter:
    """Writes a session's frames as they end, a few thousand at a time, in files of constant memory.

    Until ``open`` only the newest frames are kept.
    """

    def __init__(self) -> None:
        self._pending: deque[FrameRecord] = deque()
        self._rows: list[FrameRecord] = []
        self._writer: Any = None

    def open(self, path: Path, metadata: Mapping[str, str]) -> None:
        """Begin a file.

        Args:
            path: A .parquet file; one that is there is replaced.
            metadata: Texts about the session, kept in the file.
        """
        import pyarrow.parquet as pq

        self._writer = pq.ParquetWriter(path, _schema(metadata))

    def add(self, record: FrameRecord) -> None:
        """Take a frame that has ended."""
        self._pending.append(record)
        if len(self._pending) > PENDING:
            self._keep(self._pending.popleft())

    def ran_slow(self, episode: int, frame: int, start_ns: int, end_ns: int) -> None:
        """Note the slow path's run on a frame of the newest episodes, before or after the frame has ended."""
        for index, record in enumerate(self._pending):
            if (record.episode, record.frame) == (episode, frame):
                self._pending[index] = replace(record, slow_start_ns=start_ns, slow_end_ns=end_ns)

    def close(self) -> None:
        """Write the rest and end the file."""
        while self._pending:
            self._keep(self._pending.popleft())
        if self._writer is not None:
            self._flush()
            self._writer.close()
            self._writer = None

    def _keep(self, record: FrameRecord) -> None:
        self._rows.append(record)
        if len(self._rows) >= ROW_GROUP:
            if self._writer is None:
                del self._rows[: ROW_GROUP // 2]
            else:
                self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        schema = self._writer.schema
        rows: Sequence[tuple[Any, ...]] = [astuple(record) for record in self._rows]
        columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in _COLUMNS]
        fates = _COLUMNS.index("fate")
        columns[fates] = [fate.value for fate in columns[fates]]
        arrays = [pa.array(c, field.type) for c, field in zip(columns, schema, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        self._rows.clear()
