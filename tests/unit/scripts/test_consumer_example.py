import json

from tests.unit.scripts.test_symbol_config_tool import load_script

readable = load_script("consumer_example").readable


def test_a_raw_record_is_shown_with_its_frame_and_what_is_no_json_as_it_is():
    assert json.loads(readable(b'{"a":1,"payload":{"b":[2]}}')) == {"a": 1, "payload": {"b": [2]}}
    assert json.loads(readable(b'{"a":1}')) == {"a": 1}
    assert json.loads(readable(b"{oops")) == {"not JSON": "{oops"}
