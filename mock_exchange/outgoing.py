"""One frame on its way out, and what faults make of it."""

from random import Random

import msgspec

from mock_exchange.fault_kinds import Malform
from mock_exchange.truth import Ids

_NOT_JSON = "<html><body>502 Bad Gateway</body></html>"


class Outgoing(msgspec.Struct, frozen=True):
    """One frame to send, `delay_s` from now; `is_whole` unless it was damaged."""

    text: str
    ids: Ids | None
    delay_s: float = 0.0
    is_whole: bool = True


def delayed(frame: Outgoing, late_s: float) -> Outgoing:
    """Return the frame, later by so much."""
    return msgspec.structs.replace(frame, delay_s=frame.delay_s + late_s)


def padded(frame: Outgoing, size: int) -> Outgoing:
    """Return the frame with an unknown field that brings it to `size` bytes, if it is smaller."""
    head = frame.text[:-1] + ',"padding":"'
    fill = max(0, size - len(head.encode()) - len('"}'))
    return msgspec.structs.replace(frame, text=f'{head}{"x" * fill}"}}') if fill else frame


def spoiled(fault: Malform, frame: Outgoing, choice: Random) -> Outgoing:
    """Return the frame as the fault wants it; one that is damaged already stays as it is."""
    if not frame.is_whole:
        return frame
    text = _NOT_JSON
    if fault.how == "truncate":
        text = frame.text[: choice.randrange(1, len(frame.text))]
    elif fault.how == "field":
        message = msgspec.json.decode(frame.text)
        data = message.get("data", message)
        data[fault.field or choice.choice(sorted(data))] = {}
        text = msgspec.json.encode(message).decode()
    return msgspec.structs.replace(frame, text=text, is_whole=False)
