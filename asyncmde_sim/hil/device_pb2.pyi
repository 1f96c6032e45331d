from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Encoding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENCODING_UNSPECIFIED: _ClassVar[Encoding]
    RAW: _ClassVar[Encoding]
    JPEG: _ClassVar[Encoding]
    PNG16: _ClassVar[Encoding]

class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODE_UNSPECIFIED: _ClassVar[Mode]
    REAL_TIME: _ClassVar[Mode]
    LOCKSTEP: _ClassVar[Mode]

class Path(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PATH_UNSPECIFIED: _ClassVar[Path]
    SLOW: _ClassVar[Path]
    FAST: _ClassVar[Path]
ENCODING_UNSPECIFIED: Encoding
RAW: Encoding
JPEG: Encoding
PNG16: Encoding
MODE_UNSPECIFIED: Mode
REAL_TIME: Mode
LOCKSTEP: Mode
PATH_UNSPECIFIED: Path
SLOW: Path
FAST: Path

class Array(_message.Message):
    __slots__ = ("dtype", "shape", "encoding", "data")
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    dtype: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    encoding: Encoding
    data: bytes
    def __init__(self, dtype: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., encoding: _Optional[_Union[Encoding, str]] = ..., data: _Optional[bytes] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("protocol", "version", "mode", "image_encoding", "depth_encoding", "weights")
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_ENCODING_FIELD_NUMBER: _ClassVar[int]
    DEPTH_ENCODING_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    protocol: int
    version: str
    mode: Mode
    image_encoding: Encoding
    depth_encoding: Encoding
    weights: str
    def __init__(self, protocol: _Optional[int] = ..., version: _Optional[str] = ..., mode: _Optional[_Union[Mode, str]] = ..., image_encoding: _Optional[_Union[Encoding, str]] = ..., depth_encoding: _Optional[_Union[Encoding, str]] = ..., weights: _Optional[str] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("protocol", "version", "device", "engine", "weights", "weights_sha256", "focal", "max_in_flight", "max_message_bytes", "other_sessions", "threads", "telemetry")
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_SHA256_FIELD_NUMBER: _ClassVar[int]
    FOCAL_FIELD_NUMBER: _ClassVar[int]
    MAX_IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    OTHER_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    THREADS_FIELD_NUMBER: _ClassVar[int]
    TELEMETRY_FIELD_NUMBER: _ClassVar[int]
    protocol: int
    version: str
    device: str
    engine: str
    weights: str
    weights_sha256: str
    focal: float
    max_in_flight: int
    max_message_bytes: int
    other_sessions: int
    threads: int
    telemetry: str
    def __init__(self, protocol: _Optional[int] = ..., version: _Optional[str] = ..., device: _Optional[str] = ..., engine: _Optional[str] = ..., weights: _Optional[str] = ..., weights_sha256: _Optional[str] = ..., focal: _Optional[float] = ..., max_in_flight: _Optional[int] = ..., max_message_bytes: _Optional[int] = ..., other_sessions: _Optional[int] = ..., threads: _Optional[int] = ..., telemetry: _Optional[str] = ...) -> None: ...

class RunRequest(_message.Message):
    __slots__ = ("path", "beside", "refresh")
    PATH_FIELD_NUMBER: _ClassVar[int]
    BESIDE_FIELD_NUMBER: _ClassVar[int]
    REFRESH_FIELD_NUMBER: _ClassVar[int]
    path: Path
    beside: bool
    refresh: int
    def __init__(self, path: _Optional[_Union[Path, str]] = ..., beside: _Optional[bool] = ..., refresh: _Optional[int] = ...) -> None: ...

class Frame(_message.Message):
    __slots__ = ("id", "episode", "capture_ns", "image", "run")
    ID_FIELD_NUMBER: _ClassVar[int]
    EPISODE_FIELD_NUMBER: _ClassVar[int]
    CAPTURE_NS_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    id: int
    episode: int
    capture_ns: int
    image: Array
    run: RunRequest
    def __init__(self, id: _Optional[int] = ..., episode: _Optional[int] = ..., capture_ns: _Optional[int] = ..., image: _Optional[_Union[Array, _Mapping]] = ..., run: _Optional[_Union[RunRequest, _Mapping]] = ...) -> None: ...

class Times(_message.Message):
    __slots__ = ("start_ns", "end_ns", "beside")
    START_NS_FIELD_NUMBER: _ClassVar[int]
    END_NS_FIELD_NUMBER: _ClassVar[int]
    BESIDE_FIELD_NUMBER: _ClassVar[int]
    start_ns: int
    end_ns: int
    beside: bool
    def __init__(self, start_ns: _Optional[int] = ..., end_ns: _Optional[int] = ..., beside: _Optional[bool] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("frame", "received_ns", "sent_ns", "superseded", "fast", "slow", "memory_frame", "depth", "trust")
    FRAME_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_NS_FIELD_NUMBER: _ClassVar[int]
    SENT_NS_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDED_FIELD_NUMBER: _ClassVar[int]
    FAST_FIELD_NUMBER: _ClassVar[int]
    SLOW_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FRAME_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    TRUST_FIELD_NUMBER: _ClassVar[int]
    frame: int
    received_ns: int
    sent_ns: int
    superseded: bool
    fast: Times
    slow: Times
    memory_frame: int
    depth: Array
    trust: Array
    def __init__(self, frame: _Optional[int] = ..., received_ns: _Optional[int] = ..., sent_ns: _Optional[int] = ..., superseded: _Optional[bool] = ..., fast: _Optional[_Union[Times, _Mapping]] = ..., slow: _Optional[_Union[Times, _Mapping]] = ..., memory_frame: _Optional[int] = ..., depth: _Optional[_Union[Array, _Mapping]] = ..., trust: _Optional[_Union[Array, _Mapping]] = ...) -> None: ...

class NewEpisode(_message.Message):
    __slots__ = ("episode",)
    EPISODE_FIELD_NUMBER: _ClassVar[int]
    episode: int
    def __init__(self, episode: _Optional[int] = ...) -> None: ...

class Ping(_message.Message):
    __slots__ = ("host_sent_ns",)
    HOST_SENT_NS_FIELD_NUMBER: _ClassVar[int]
    host_sent_ns: int
    def __init__(self, host_sent_ns: _Optional[int] = ...) -> None: ...

class Pong(_message.Message):
    __slots__ = ("host_sent_ns", "received_ns", "sent_ns")
    HOST_SENT_NS_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_NS_FIELD_NUMBER: _ClassVar[int]
    SENT_NS_FIELD_NUMBER: _ClassVar[int]
    host_sent_ns: int
    received_ns: int
    sent_ns: int
    def __init__(self, host_sent_ns: _Optional[int] = ..., received_ns: _Optional[int] = ..., sent_ns: _Optional[int] = ...) -> None: ...

class Telemetry(_message.Message):
    __slots__ = ("time_ns", "values")
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    time_ns: int
    values: _containers.ScalarMap[str, float]
    def __init__(self, time_ns: _Optional[int] = ..., values: _Optional[_Mapping[str, float]] = ...) -> None: ...

class Goodbye(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Accounts(_message.Message):
    __slots__ = ("received", "answered", "superseded", "lost")
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDED_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    received: int
    answered: int
    superseded: int
    lost: int
    def __init__(self, received: _Optional[int] = ..., answered: _Optional[int] = ..., superseded: _Optional[int] = ..., lost: _Optional[int] = ...) -> None: ...

class ToDevice(_message.Message):
    __slots__ = ("hello", "new_episode", "frame", "ping", "goodbye")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    NEW_EPISODE_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    GOODBYE_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    new_episode: NewEpisode
    frame: Frame
    ping: Ping
    goodbye: Goodbye
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., new_episode: _Optional[_Union[NewEpisode, _Mapping]] = ..., frame: _Optional[_Union[Frame, _Mapping]] = ..., ping: _Optional[_Union[Ping, _Mapping]] = ..., goodbye: _Optional[_Union[Goodbye, _Mapping]] = ...) -> None: ...

class ToHost(_message.Message):
    __slots__ = ("welcome", "answer", "pong", "telemetry", "accounts")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    PONG_FIELD_NUMBER: _ClassVar[int]
    TELEMETRY_FIELD_NUMBER: _ClassVar[int]
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    answer: Answer
    pong: Pong
    telemetry: Telemetry
    accounts: Accounts
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., answer: _Optional[_Union[Answer, _Mapping]] = ..., pong: _Optional[_Union[Pong, _Mapping]] = ..., telemetry: _Optional[_Union[Telemetry, _Mapping]] = ..., accounts: _Optional[_Union[Accounts, _Mapping]] = ...) -> None: ...
