from streaming.silence import Measure, Silence

SECOND = 10**9


def test_a_silent_socket_is_pinged_after_ever_longer_waits_up_to_the_longest():
    silence, pings, pongs = Silence(4 * SECOND, 0), [], 0
    for number in range(1, 40):
        now = number * SECOND // 2
        if silence.look(0, pongs, now) is Measure.PING:
            pings.append(now / SECOND)
            pongs += 1
    assert pings == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5]


def test_data_ends_a_silence():
    silence = Silence(4 * SECOND, 0)
    assert silence.look(0, 0, SECOND) is Measure.PING
    assert silence.look(2 * SECOND, 0, 2 * SECOND) is None
    assert silence.look(2 * SECOND, 0, 3 * SECOND) is Measure.PING
    assert silence.look(9 * SECOND, 0, 9 * SECOND) is None, "an answer to a ping is not missed then"


def test_a_socket_that_answers_no_ping_is_given_up():
    silence = Silence(4 * SECOND, 0)
    told = [silence.look(0, 0, number * SECOND) for number in range(1, 7)]
    assert told[0] is Measure.PING
    assert Measure.GIVE_UP not in told[:5]
    assert told[5] is Measure.GIVE_UP


def test_one_that_answers_is_not_however_quiet_it_is():
    silence = Silence(4 * SECOND, 0)
    told = [silence.look(0, number, number * SECOND) for number in range(1, 100)]
    assert Measure.GIVE_UP not in told


def test_a_time_in_which_nobody_listened_does_not_count():
    silence = Silence(4 * SECOND, 0)
    assert silence.look(0, 0, SECOND) is Measure.PING
    silence.end(90 * SECOND)
    assert silence.look(0, 0, 90 * SECOND) is None
