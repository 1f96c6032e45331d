"""Arrays to messages and back, checked before anything is allocated."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.hil import device_pb2 as pb

Image = NDArray[np.uint8]
FloatMap = NDArray[np.float32]

MAX_SIDE_PX = 2048
MIN_SIDE_PX = 2
JPEG_QUALITY = 90
MM = 1000.0
PNG16_MAX_M = 65.535

IMAGE_ENCODINGS = {"raw": pb.RAW, "jpeg": pb.JPEG}
DEPTH_ENCODINGS = {"raw": pb.RAW, "png16": pb.PNG16}


def encode_image(image: Image, encoding: pb.Encoding, message: pb.Array | None = None) -> pb.Array:
    """An image (H, W, 3) uint8 as a message: a new one, or ``message``, which saves copying it into another.

    Raises:
        ValueError: It is no such image, or the encoding is not for images.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"an image is (H, W, 3) uint8, but this one is {image.shape} {image.dtype}")
    if encoding == pb.JPEG:
        from PIL import Image as pillow

        buffer = io.BytesIO()
        pillow.fromarray(image).save(buffer, "JPEG", quality=JPEG_QUALITY)
        data = buffer.getvalue()
    elif encoding == pb.RAW:
        data = image.tobytes()
    else:
        raise ValueError(f"images cannot be sent with encoding {encoding}: use raw or jpeg")
    return _filled(message, "uint8", image.shape, encoding, data)


def decode_image(message: pb.Array) -> Image:
    """The image (H, W, 3) in a message.

    Raises:
        ValueError: The message does not hold one.
    """
    height, width = _sides(message, "uint8", 3)
    if message.shape[2] != 3:
        raise ValueError(f"an image of {message.shape[2]} channels was sent, but 3 are needed: send RGB")
    if message.encoding == pb.RAW:
        return _raw(message, np.uint8)
    if message.encoding == pb.JPEG:
        return np.asarray(_picture(message, "JPEG", (width, height)).convert("RGB"))
    raise ValueError(f"an image was sent with encoding {message.encoding}: use raw or jpeg")


def encode_depth(depth: FloatMap, encoding: pb.Encoding, message: pb.Array | None = None) -> pb.Array:
    """Depth (H, W) float32 metres as a message, see ``encode_image``; PNG16 rounds to mm, up to 65.535 m.

    Raises:
        ValueError: It is no such map, or the encoding is not for depth.
    """
    if depth.dtype != np.float32 or depth.ndim != 2:
        raise ValueError(f"depth is (H, W) float32, but this one is {depth.shape} {depth.dtype}")
    if encoding == pb.PNG16:
        from PIL import Image as pillow

        finite = np.nan_to_num(depth, nan=0.0, posinf=PNG16_MAX_M, neginf=0.0)
        whole = np.rint(np.clip(finite, 0, PNG16_MAX_M) * MM).astype(np.uint16)
        buffer = io.BytesIO()
        pillow.fromarray(whole).save(buffer, "PNG", compress_level=1)
        data = buffer.getvalue()
    elif encoding == pb.RAW:
        data = depth.astype("<f4", copy=False).tobytes()
    else:
        raise ValueError(f"depth cannot be sent with encoding {encoding}: use raw or png16")
    return _filled(message, "float32", depth.shape, encoding, data)


def decode_depth(message: pb.Array) -> FloatMap:
    """The depth (H, W) float32 metres in a message.

    Raises:
        ValueError: The message does not hold one.
    """
    height, width = _sides(message, "float32", 2)
    if message.encoding == pb.RAW:
        return _raw(message, "<f4").astype(np.float32, copy=False)
    if message.encoding == pb.PNG16:
        whole = np.asarray(_picture(message, "PNG", (width, height)))
        if whole.ndim != 2:
            raise ValueError("depth was sent as a PNG of several channels: send one of 16 bits")
        return (whole / np.float32(MM)).astype(np.float32)
    raise ValueError(f"depth was sent with encoding {message.encoding}: use raw or png16")


def _filled(
    message: pb.Array | None, dtype: str, shape: tuple[int, ...], encoding: pb.Encoding, data: bytes
) -> pb.Array:
    message = pb.Array() if message is None else message
    message.dtype, message.encoding, message.data = dtype, encoding, data
    message.shape.extend(shape)
    return message


def _sides(message: pb.Array, dtype: str, dimensions: int) -> tuple[int, int]:
    if message.dtype != dtype or len(message.shape) != dimensions:
        raise ValueError(
            f"an array of {list(message.shape)} {message.dtype[:20]!r} was sent, but {dimensions} dimensions "
            f"of {dtype} are needed"
        )
    height, width = message.shape[:2]
    if not (MIN_SIDE_PX <= height <= MAX_SIDE_PX and MIN_SIDE_PX <= width <= MAX_SIDE_PX):
        raise ValueError(
            f"an array of {width} x {height} was sent, but its sides must lie between {MIN_SIDE_PX} and "
            f"{MAX_SIDE_PX}: resize it"
        )
    return height, width


def _raw(message: pb.Array, dtype: str | type[np.uint8]) -> NDArray[Any]:
    expected = math.prod(message.shape) * np.dtype(dtype).itemsize
    data = message.data  # each look at it copies it
    if len(data) != expected:
        raise ValueError(
            f"an array of {list(message.shape)} came with {len(data)} bytes, but needs {expected}"
        )
    return np.frombuffer(data, dtype).reshape(tuple(message.shape))


def _picture(message: pb.Array, kind: str, size: tuple[int, int]) -> Any:
    from PIL import Image as pillow

    try:
        picture = pillow.open(io.BytesIO(message.data), formats=(kind,))
        if picture.size != size:
            raise ValueError(f"a {kind} of {picture.size} was sent as one of {size}")
        picture.load()
    except (OSError, SyntaxError, pillow.DecompressionBombError) as error:
        raise ValueError(f"a {kind} was sent that cannot be decoded ({error})") from error
    return picture
