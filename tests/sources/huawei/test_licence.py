"""When a licence ends, whatever form its date has."""

from datetime import UTC, datetime

import pytest

from admission.sources.huawei.licence import Licence, read_licence

NOW_S = datetime(2027, 3, 1, 12, tzinfo=UTC).timestamp()
GOOD, SOON, OVER = (datetime(2027, month, 2, 8, tzinfo=UTC).timestamp() for month in (12, 3, 2))


def found(end: object, warn_days: int = 30) -> Licence:
    return read_licence({"licenseEndDate": end}, warn_days=warn_days, now_s=NOW_S)


@pytest.mark.parametrize("end", [0, "0", "", None, 4294967295, "4294967295"])
def test_an_absent_date_is_no_warning(end: object) -> None:
    assert found(end) == Licence()
    assert found(end).notes() == {}
    assert read_licence({}, warn_days=30, now_s=NOW_S) == Licence()


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2027-12-02", Licence(ends="2027-12-02")),
        ("2027-03-02", Licence(ends="2027-03-02", warning="the licence ends on 2027-03-02")),
        (
            "2027-02-02",
            Licence(ends="2027-02-02", expired=True, warning="the licence expired on 2027-02-02"),
        ),
    ],
)
def test_the_forms_of_a_date_mean_the_same(day: str, expected: Licence) -> None:
    moment = datetime.fromisoformat(day).replace(hour=8, tzinfo=UTC).timestamp()

    forms = [
        int(moment),
        str(int(moment)),
        int(moment * 1000),
        int(day.replace("-", "")),
        day,
        f"{day} 00:00:00",
    ]

    assert [found(form) for form in forms] == [expected] * len(forms)


def test_the_last_day_still_counts() -> None:
    assert not found(20270301).expired
    assert found(20270228).expired


@pytest.mark.parametrize("end", [7, 20271399, "soon", -1, 4294967295123456789, 2026.5])
def test_an_unreadable_date_is_shown_as_received_without_a_warning(end: object) -> None:
    licence = found(end)

    assert licence.ends == str(end)[:20]
    assert (licence.expired, licence.warning) == (False, "")


def test_how_early_it_is_warned_of_is_a_setting() -> None:
    assert found(int(SOON), warn_days=0).warning == ""
    assert found(int(GOOD), warn_days=365).warning == "the licence ends on 2027-12-02"
