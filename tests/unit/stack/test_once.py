import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest

from shared.market.recording import Frame, FrameKind, write_frame
from shared.settings import MockSettings, Settings, StreamingSettings
from stack.errors import StackError
from stack.once import metrics, symbols_of, wait_until_played

METRICS = """# HELP crypto_received_total Frames received
crypto_received_total{connection="a"} 10.0
crypto_received_total{connection="b"} 5.0
crypto_connected{connection="a"} 1.0
crypto_connected{connection="b"} 0.0
crypto_buffered 3.0
crypto_produced_total 1.5e+06
"""


def test_metrics_are_summed_over_connections():
    seen = metrics(METRICS)
    assert seen["received"] == 15
    assert seen["connections"] == 2
    assert seen["connected"] == 1
    assert (seen["buffered"], seen["produced"]) == (3, 1_500_000)


@contextmanager
def stack_that_answers(looks: list[dict[str, float]]) -> Iterator[Settings]:
    """Mock exchange and collector behind one port; each look at them is the next, the last stays."""

    class Answers(BaseHTTPRequestHandler):
        left: ClassVar = list(looks)

        def do_GET(self) -> None:
            look = self.left[0]
            if self.path == "/status":
                body = {"frames_sent": look["sent"], "frames_total": 4}
                text = json.dumps(body | {"finished": look["sent"] == 4})
            else:
                names = ("received_total", "connected", "produced_total")
                text = "".join(f'crypto_{name}{{connection="a"}} {look[name]}\n' for name in names)
                text += f"crypto_buffered {look['buffered']}\n"
                text += f"crypto_spill_records {look['spilled']}\n"
                if len(self.left) > 1:
                    self.left.pop(0)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield Settings(
            mock=MockSettings(port=server.server_port - 9),
            streaming=StreamingSettings(http_port=server.server_port),
        )
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def look(sent: int, received: int, produced: int, buffered: int, spilled: int) -> dict[str, float]:
    named = {"sent": sent, "received_total": received, "produced_total": produced}
    return named | {"connected": 1, "buffered": buffered, "spilled": spilled}


def test_played_is_what_was_sent_received_and_acknowledged(monkeypatch):
    monkeypatch.setattr("stack.once._POLL_S", 0)
    looks = [
        look(2, 3, 1, 1, 0),
        look(4, 4, 3, 0, 0),  # one frame is still on its way to the collector
        look(4, 5, 2, 2, 0),
        look(4, 5, 2, 0, 3),  # all that waits is on disk
        look(4, 5, 5, 0, 0),
    ]
    said: list[str] = []
    with stack_that_answers(looks) as settings:
        assert wait_until_played(settings, said.append) == 4
    assert len(said) == len(looks)
    assert said[0] == "2 of 4 frames sent, 1 records in Kafka"


def test_a_spill_that_is_not_drained_is_no_end_but_a_fault(monkeypatch):
    monkeypatch.setattr("stack.once._POLL_S", 0)
    monkeypatch.setattr("stack.once._STALLED_S", 0.05)
    with (
        stack_that_answers([look(4, 5, 2, 0, 3)]) as settings,
        pytest.raises(StackError, match="nothing moved"),
    ):
        wait_until_played(settings, lambda _: None)


def test_why_a_recording_cannot_be_played_is_said(tmp_path):
    path = tmp_path / "odd.jsonl.gz"
    with gzip.open(path, "wb") as file:
        write_frame(file, Frame(1, FrameKind.WS, "wss://ws.okx.com/v5", '{"stream":"a@trade"}'))
    with pytest.raises(
        StackError, match=r"--recording: wss://ws\.okx\.com/v5: no market that is known"
    ):
        symbols_of([str(path)])
