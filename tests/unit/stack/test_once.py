from stack.once import metrics


def test_metrics_are_summed_over_connections():
    text = """# HELP crypto_received_total Frames received
crypto_received_total{connection="a"} 10.0
crypto_received_total{connection="b"} 5.0
crypto_connected{connection="a"} 1.0
crypto_connected{connection="b"} 0.0
crypto_buffered 3.0
crypto_produced_total 1.5e+06
"""
    seen = metrics(text)
    assert seen["received"] == 15
    assert seen["connections"] == 2
    assert seen["connected"] == 1
    assert (seen["buffered"], seen["produced"]) == (3, 1_500_000)
