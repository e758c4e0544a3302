"""Bytes on a stream to messages, and back. No I/O here: the transports of ``comm`` only move the bytes.

A frame is a batch of messages:

    u32  length of the body                  little-endian
    u32  number of out-of-band buffers
    u64  length of each of them
    ...  body: a msgpack list of one item, the list of messages
    ...  the buffers, one after the other

A ``Frame`` inside a message is, if it is large, one of the out-of-band buffers and its index in the body; a small one
is just bytes in the body; one in shared memory is, on a link whose ends share it, its name there and its size. A frame
with neither body nor buffers says goodbye: nothing follows, the link ends in good order. Without it an end of the
stream is a loss, as it looks the same whether the peer closed, crashed or was cut off.

Rules
1. A length is compared with the limits before anything is done for it, and a claim costs nothing: what is too large for
   the chunk that all reads share goes to memory that the kernel provides page by page, as bytes arrive.
2. Large buffers are never copied: neither on the way out, nor on the way in, where they are read to their final place.
3. Whatever the peer sends, the decoder raises :class:`ProtocolError` or nothing.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Sequence
from pickle import PickleBuffer
from typing import Any, NamedTuple

import msgspec

from nbcluster.errors import CommError, ProtocolError, SerializationError
from nbcluster.protocol.buffers import Allocate, Target, allocated
from nbcluster.protocol.payload import Buffer, Frame, SharedMemory

_PREFIX = struct.Struct("<II")
_LISTS = struct.Struct(">BBI")
_LIST_OF_ONE, _LIST32 = 0x91, 0xDD
_HEAD = _PREFIX.size + _LISTS.size
"""What precedes the messages in a frame without out-of-band buffers."""

GOODBYE = _PREFIX.pack(0, 0)

INLINE = 4096
"""A buffer below this size is cheaper to copy than to send by itself."""

CHUNK = 256 * 1024
"""Small frames are read many at a time, into a chunk of this size that they share: more than a socket holds."""

CHUNKS = (4 * 1024, 64 * 1024, CHUNK)
"""Its sizes until then, each until it is too little: most links carry little at a time, and memory has its price."""

_FULL = 1024 * 1024
"""From this size on a batch of messages is not added to, so that neither side is long busy with one frame."""


class Limits(NamedTuple):
    """What one frame may be; both ends check it."""

    body: int = 256 << 20
    """Bytes of messages, without their large buffers."""
    buffers: int = 1 << 20
    """Number of large buffers."""
    buffer: int = 4 << 30
    """Bytes of one of them."""


DEFAULT_LIMITS = Limits()


class Encoder:
    """Messages to frames: :meth:`add` them, :meth:`take` the bytes of all."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self.shares = False
        """The other end sees the same shared memory: what is there need not be sent."""
        self._encode_into = msgspec.msgpack.Encoder(enc_hook=self._encode_frame).encode_into
        self._body = bytearray(_HEAD)
        self._count = 0
        self._buffers: list[Buffer] = []
        self._sealed: list[Buffer] = []
        self._pending = 0

    @property
    def pending_bytes(self) -> int:
        """Bytes that :meth:`take` would give, about."""
        return self._pending + len(self._body) - _HEAD

    def add(self, messages: tuple[Any, ...]) -> None:
        """Encode messages: all or, if one of them cannot be encoded, none.

        Raises:
            SerializationError: a message holds a live object.
            CommError: a message is larger than the limits.
        """
        body, buffers, pending = self._body, self._buffers, self._pending
        mark, buffers_mark = len(body), len(buffers)
        try:
            for message in messages:
                self._encode_into(message, body, -1)
            if len(body) - _PREFIX.size > self._limits.body or len(buffers) > self._limits.buffers:
                raise CommError(
                    f"{len(body) - mark} bytes of messages with {len(buffers) - buffers_mark} large buffers are "
                    f"too much for one link: it carries {self._limits.body} bytes and {self._limits.buffers} "
                    "buffers at a time; send them in parts"
                )
        except BaseException:
            del body[mark:], buffers[buffers_mark:]
            self._pending = pending
            raise
        self._count += len(messages)
        if len(body) >= _FULL or len(buffers) >= 1024:
            self._seal()

    def take(self) -> list[Buffer]:
        """What is to be written now, in order. The caller must not change the buffers of messages until it is."""
        if self._count:
            self._seal()
        taken, self._sealed = self._sealed, []
        self._pending = 0
        return taken

    def _seal(self) -> None:
        body, buffers = self._body, self._buffers
        _LISTS.pack_into(body, _PREFIX.size, _LIST_OF_ONE, _LIST32, self._count)
        length = len(body) - _PREFIX.size
        if buffers:
            sizes = [memoryview(buffer).nbytes for buffer in buffers]
            self._sealed.append(struct.pack(f"<II{len(sizes)}Q", length, len(sizes), *sizes))
            self._sealed.append(memoryview(body)[_PREFIX.size :])
            self._sealed += buffers
        else:
            _PREFIX.pack_into(body, 0, length, 0)
            self._sealed.append(body)
        self._pending += len(body)
        self._body, self._count, self._buffers = bytearray(_HEAD), 0, []

    def _encode_frame(self, item: Any) -> Any:
        """Called by msgspec for what it does not know."""
        if type(item) is not Frame:
            raise SerializationError(f"a {type(item).__qualname__} is nothing that a message can hold")
        if item.shared is not None:
            if self.shares or item.shared.elsewhere:
                return [item.shared.name(), item.shared.nbytes]
            buffer: Buffer | None = item.shared.open()
        else:
            buffer = item.buffer
        if buffer is None:
            raise SerializationError(f"a live {type(item.live).__qualname__} cannot leave its process: pickle it first")
        size = item.nbytes
        if size < INLINE:
            return buffer
        if size > self._limits.buffer:
            raise CommError(f"a buffer of {size} bytes is too large: a link carries at most {self._limits.buffer}")
        self._buffers.append(PickleBuffer(buffer).raw() if isinstance(buffer, memoryview) else buffer)
        self._pending += size
        return len(self._buffers) - 1


@functools.cache
def _body(incoming: Any) -> Any:
    """The body of a frame, as a class: what msgspec has to know of a class is found out once, not for each link."""
    return msgspec.defstruct(
        "Body", [("messages", list[incoming])], array_like=True, gc=False, forbid_unknown_fields=True
    )


def encoded(messages: Sequence[Any], limits: Limits = DEFAULT_LIMITS) -> bytes:
    """A frame with these messages, of which none has large buffers; nothing if there are none."""
    if not messages:
        return b""
    encoder = Encoder(limits)
    encoder.add(tuple(messages))
    return b"".join(encoder.take())


class Decoder:
    """Bytes to messages of one type: fill what :meth:`get_buffer` gives, tell :meth:`buffer_updated` how far.

    A frame is read as a row of items: prefix, sizes, body, buffer, buffer… A small item is read into the chunk, with
    whatever follows it; a large one goes straight to memory of its own, the target.

    Args:
        incoming: what may arrive: a ``Message`` class, or a union of them.
        limits: what a frame may be.
    """

    def __init__(self, incoming: Any, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self.shared: SharedMemory | None = None
        """The memory that both ends see."""
        self.allocate: Allocate = allocated
        """Where large buffers are read to."""
        self._decode_body = msgspec.msgpack.Decoder(_body(incoming), dec_hook=self._decode_frame).decode
        self._chunk = memoryview(bytearray(CHUNKS[0]))
        self._start = self._end = 0
        self._target: Target | None = None
        self._filled = 0
        self._in_chunk = False
        """Where the latest item is: in the chunk, which the next read overwrites, or in memory of its own."""
        self._begin_frame()
        self._failed = False
        self.said_goodbye = False
        """The peer has closed in good order: nothing follows."""

    def _begin_frame(self) -> None:
        self._want = _PREFIX.size
        self._take = self._take_prefix
        self._body: Buffer = b""
        self._body_size = 0
        self._sizes: tuple[int, ...] = ()
        self._buffers: list[memoryview | None] = []
        self._used = 0

    @property
    def midway(self) -> bool:
        """True if the stream stands in the middle of a frame."""
        return self._body_size > 0 or self._start != self._end

    def get_buffer(self) -> memoryview:
        """Where the next bytes belong; never empty."""
        if self._target is not None:
            return self._target.room(self._filled)
        start, end, size = self._start, self._end, len(self._chunk)
        if end == size < CHUNK:
            self._enlarge(size)
        elif start == end:
            self._start = self._end = 0
        elif start and end > size // 2:
            self._chunk[: end - start] = self._chunk[start:end]
            self._start, self._end = 0, end - start
        return self._chunk[self._end :]

    def _enlarge(self, item: int) -> None:
        """Reads have filled the chunk, or will, with an item of so many bytes: read more at a time from now on."""
        left = self._chunk[self._start : self._end]
        size = next(size for size in CHUNKS if size > len(self._chunk) and size // 2 >= item)
        self._chunk = memoryview(bytearray(size))
        self._chunk[: len(left)] = left
        self._start, self._end = 0, len(left)

    def buffer_updated(self, count: int) -> list[Any]:
        """Take in ``count`` bytes that were written to the buffer; return the messages that are complete now.

        Raises:
            ProtocolError: no nbcluster sends that; the link must be dropped.
        """
        if self._failed:
            raise ProtocolError("the link has already failed")
        if self._target is None:
            self._end += count
        else:
            self._filled += count
        messages: list[Any] = []
        try:
            while not self.said_goodbye and (item := self._next_item()) is not None:
                self._take(item, messages)
        except ProtocolError:
            self._failed = True
            raise
        return messages

    def feed(self, data: Buffer) -> list[Any]:
        """The same for bytes that are at hand; what follows a goodbye is ignored."""
        messages: list[Any] = []
        view = memoryview(data)
        while len(view) and not self.said_goodbye:
            buffer = self.get_buffer()
            count = min(len(view), len(buffer))
            buffer[:count] = view[:count]
            messages += self.buffer_updated(count)
            view = view[count:]
        return messages

    def _next_item(self) -> memoryview | None:
        """The item that is wanted, once all of it is there. A view into the chunk holds until the next read."""
        want, target = self._want, self._target
        self._in_chunk = target is None
        if target is not None:
            if self._filled < want:
                return None
            self._target = None
            return target.view
        start = self._start
        there = self._end - start
        if there >= want:
            self._start += want
            return self._chunk[start : start + want]
        if want > len(self._chunk) // 2 and want <= CHUNK // 2:
            self._enlarge(want)
        elif want > CHUNK // 2:
            target = self._make_room(want)
            target.room(0)[:there] = self._chunk[start : self._end]
            self._start = self._end = 0
            self._target, self._filled = target, there
        return None

    def _make_room(self, size: int) -> Target:
        """Memory for one item. A large piece costs nothing but addresses until it is written to."""
        try:
            return self.allocate(size) if self._take == self._take_buffer else allocated(size)
        except OSError as error:
            raise ProtocolError(f"{size} bytes are announced, for which there is no memory") from error

    def _take_prefix(self, item: memoryview, messages: list[Any]) -> None:
        body_size, count = _PREFIX.unpack(item)
        if body_size == 0:
            if count:
                raise ProtocolError("a frame has buffers and no messages")
            self.said_goodbye = True
            return
        if body_size > self._limits.body or count > self._limits.buffers:
            raise ProtocolError(
                f"a frame of {body_size} bytes with {count} buffers is announced, the limits are "
                f"{self._limits.body} and {self._limits.buffers}"
            )
        self._body_size = body_size
        if count:
            self._want, self._take = 8 * count, self._take_sizes
        else:
            self._want, self._take = body_size, self._take_body

    def _take_sizes(self, item: memoryview, messages: list[Any]) -> None:
        sizes = struct.unpack(f"<{len(item) // 8}Q", item)
        if min(sizes) < INLINE or max(sizes) > self._limits.buffer:
            raise ProtocolError(
                f"buffers of {min(sizes)} to {max(sizes)} bytes are announced, "
                f"the limits are {INLINE} and {self._limits.buffer}"
            )
        self._sizes = sizes
        self._want, self._take = self._body_size, self._take_body

    def _take_body(self, item: memoryview, messages: list[Any]) -> None:
        if self._sizes:
            self._body = bytes(item) if self._in_chunk else item
            self._want, self._take = self._sizes[0], self._take_buffer
        else:
            self._body = item
            self._end_frame(messages)

    def _take_buffer(self, item: memoryview, messages: list[Any]) -> None:
        if self._in_chunk:
            item = memoryview(bytearray(item))
        self._buffers.append(item)
        if len(self._buffers) < len(self._sizes):
            self._want = self._sizes[len(self._buffers)]
        else:
            self._end_frame(messages)

    def _end_frame(self, messages: list[Any]) -> None:
        try:
            messages += self._decode_body(self._body).messages
        except Exception as error:  # msgspec's own, but also UnicodeDecodeError, RecursionError, OverflowError…
            raise ProtocolError(f"a frame cannot be decoded: {error}") from error
        if self._used != len(self._buffers):
            raise ProtocolError(f"only {self._used} of a frame's {len(self._buffers)} buffers belong to messages")
        self._begin_frame()

    def _decode_frame(self, kind: type, item: Any) -> Frame:
        """Called by msgspec for what it does not know."""
        if kind is not Frame:
            raise TypeError(f"no message holds a {kind.__qualname__}")
        if type(item) is bytes:
            return Frame(bytearray(item))
        if type(item) is list:
            return self._adopt(item)
        if type(item) is not int or not 0 <= item < len(self._buffers):
            raise ValueError(f"{item!r} does not name one of {len(self._buffers)} buffers")
        buffer, self._buffers[item] = self._buffers[item], None
        if buffer is None:
            raise ValueError(f"buffer {item} is named twice")
        self._used += 1
        return Frame(buffer)

    def _adopt(self, item: list[Any]) -> Frame:
        if self.shared is None:
            raise ValueError("something is said to be shared, on a link whose ends share nothing")
        blob, nbytes = item
        if type(blob) is not int or type(nbytes) is not int or nbytes < 0:
            raise ValueError(f"{item!r} does not name anything shared")
        return self.shared.adopt(blob, nbytes)


class PlainFrames:
    """Messages of small frames without large buffers. Nothing is kept from one call to the next.

    Args:
        incoming: what may arrive: a ``Message`` class, or a union of them.
    """

    def __init__(self, incoming: Any) -> None:
        self._decode = msgspec.msgpack.Decoder(_body(incoming), dec_hook=_plain_frame).decode

    def messages(self, data: Buffer) -> list[Any] | None:
        """The messages of all frames; none while the last one is incomplete; None if a ``Decoder`` is needed."""
        messages: list[Any] = []
        view = memoryview(data)
        while view:
            if len(view) < _PREFIX.size:
                return []
            size, count = _PREFIX.unpack_from(view)
            if not 0 < size <= CHUNK or count:
                return None
            if len(view) < _PREFIX.size + size:
                return []
            try:
                messages += self._decode(view[_PREFIX.size : _PREFIX.size + size]).messages
            except Exception:  # the decoder says what is wrong with it, if anything is
                return None
            view = view[_PREFIX.size + size :]
        return messages


def _plain_frame(kind: type, item: Any) -> Frame:
    if kind is not Frame or type(item) is not bytes:
        raise ValueError("this is not in the frame itself")
    return Frame(bytearray(item))
