"""Batches in Flower messages: opaque bytes in an ArrayRecord, which Flower stores in chunks, and a few settings beside them."""

from __future__ import annotations

from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from riskfed.errors import RemoteProtocolError
from riskfed.protocols.frames import MAXIMUM_BATCH_BYTES

_BATCH = "batch"
_SETTINGS = "settings"
_SERIALIZATION = "riskfed.batch"

COURIER_ERROR, COURIER_LOST = 1000, 1001
"""Codes of Flower errors whose text a courier wrote; with the second, another attempt may succeed. Flower's own codes are small."""

Setting = str | int | float
"""What may stand beside a batch: nothing that derives from a record."""


def encode(batch: bytes, **settings: Setting) -> RecordDict:
    """Wrap a batch, which may be empty, and settings as the content of a Flower message."""
    array = Array(dtype="uint8", shape=(len(batch),), stype=_SERIALIZATION, data=batch)
    return RecordDict({_BATCH: ArrayRecord({_BATCH: array}), _SETTINGS: ConfigRecord(dict(settings))})


def decode(content: RecordDict) -> tuple[bytes, dict[str, Setting]]:
    """Unwrap what `encode` wrapped: (batch, settings).

    Raises:
        RemoteProtocolError: something else was sent, or more than a batch may hold.
    """
    record, settings = content.get(_BATCH), content.get(_SETTINGS)
    if (
        set(content) != {_BATCH, _SETTINGS}
        or not isinstance(record, ArrayRecord)
        or not isinstance(settings, ConfigRecord)
    ):
        raise RemoteProtocolError("a Flower message holds other records than a batch and its settings")
    array = record.get(_BATCH)
    if len(record) != 1 or array is None or array.dtype != "uint8" or array.stype != _SERIALIZATION:
        raise RemoteProtocolError("a Flower message holds other arrays than one batch")
    if tuple(array.shape) != (len(array.data),) or len(array.data) > MAXIMUM_BATCH_BYTES:
        raise RemoteProtocolError(
            f"a Flower message holds {len(array.data)} bytes; expected its stated size, at most {MAXIMUM_BATCH_BYTES}"
        )
    if any(not isinstance(value, (str, int, float)) for value in settings.values()):
        raise RemoteProtocolError("a Flower message holds settings of an unknown type")
    return array.data, {name: value for name, value in settings.items() if isinstance(value, (str, int, float))}


def text(settings: dict[str, Setting], name: str) -> str:
    """A setting that must be text.

    Raises:
        RemoteProtocolError: absent or not text.
    """
    value = settings.get(name)
    if not isinstance(value, str):
        raise RemoteProtocolError(
            f"a Flower message lacks the setting {name}; check that both sides run the same release"
        )
    return value


def seconds(settings: dict[str, Setting], name: str) -> float:
    """A setting that must be a positive number of seconds.

    Raises:
        RemoteProtocolError: absent, not a number, or not positive and finite.
    """
    value = settings.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise RemoteProtocolError(
            f"a Flower message lacks the setting {name}; check that both sides run the same release"
        )
    return float(value)


def release_arrays(release: bytes) -> ArrayRecord:
    """A released result as Flower's strategies hand out models: one uint8 array, the release's bytes."""
    return ArrayRecord({"release": Array(dtype="uint8", shape=(len(release),), stype="riskfed.release", data=release)})
