from crypto_pipeline.assets.additions import Batch, Ids, following

DAY, NEXT = ("BTCUSDT", "2024-08-08"), ("BTCUSDT", "2024-08-09")
TRADES = "binance/spot/trade"


def batch(lowest: int | None, highest: int | None, **fields: object) -> Batch:
    own = Batch(DAY, "binance", "spot", "trade", lowest, highest, is_each_once=True)
    return own._replace(**fields)  # type: ignore[arg-type]


def known(top: int, stream: str = TRADES) -> Ids:
    return Ids(only_adds=True, tops={"BTCUSDT/2024-08-08": {stream: top}})


def test_ids_above_all_that_the_day_held_only_add():
    assert following(Ids(), [batch(1, 9)], held=()) == known(9)
    assert following(known(9), [batch(10, 12)], held={DAY}) == known(12)
    assert following(known(9), [batch(90, 95)], held={DAY}) == known(95), "ids may jump"


def test_an_id_that_may_be_held_adds_nothing():
    after = following(known(9), [batch(9, 12)], held={DAY})
    assert after == Ids(only_adds=False, tops=known(12).tops)
    late = following(known(9), [batch(3, 4)], held={DAY})
    assert late == Ids(only_adds=False, tops=known(9).tops), "the top stays"
    twice = following(known(9), [batch(10, 12, is_each_once=False)], held={DAY})
    assert not twice.only_adds


def test_one_day_of_many_is_enough_to_add_nothing():
    other = batch(1, 1, day=("ETHUSDT", "2024-08-08"))
    assert following(known(9), [other, batch(10, 12)], held={DAY}).only_adds
    assert not following(known(9), [batch(9, 12), other], held={DAY}).only_adds


def test_a_day_of_which_no_commit_tells_the_ids_stays_unknown():
    after = following(Ids(), [batch(10, 12)], held={DAY})
    assert after == Ids(only_adds=False, tops={})
    assert not following(after, [batch(13, 14)], held={DAY}).only_adds


def test_the_next_day_begins_anew():
    after = following(Ids(), [batch(10, 12), batch(13, 14, day=NEXT)], held={DAY})
    assert after.tops == {"BTCUSDT/2024-08-09": {TRADES: 14}}
    assert following(after, [batch(15, 16, day=NEXT)], held={DAY, NEXT}).only_adds


def test_two_forms_of_a_fill_are_to_be_judged():
    aggregate = batch(1, 2, channel="aggTrade")
    assert not following(known(9), [aggregate], held={DAY}).only_adds
    assert not following(Ids(), [batch(1, 2), aggregate], held=()).only_adds
    futures = batch(1, 2, market="um")
    assert following(known(9), [futures], held={DAY}).only_adds, "another instrument"


def test_contracts_are_rounded_once_for_all_fills():
    assert not following(Ids(), [batch(1, 2, market="cm")], held=()).only_adds


def test_ids_that_are_no_numbers_have_no_order():
    after = following(known(9), [batch(None, None)], held={DAY})
    assert after == Ids(only_adds=False, tops={})


def test_only_the_latest_days_are_carried_along():
    tops = {f"S{number}/2024-08-08": {TRADES: number} for number in range(300)}
    first = batch(500, 500, day=("S0", "2024-08-08"))
    after = following(Ids(tops=tops), [first], held={first.day})
    assert after.only_adds
    assert list(after.tops)[-1] == "S0/2024-08-08"
    assert "S299/2024-08-08" in after.tops
    assert "S1/2024-08-08" not in after.tops
    assert len(after.tops) == 201
