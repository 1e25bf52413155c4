"""Ids of reservations prove that this service issued them."""

import pytest

from admission.domain.types import SigningKeys
from admission.http.ids import Ids, Proof, make_signed_id, prove

KEYS = SigningKeys(current=b"k" * 43)


def test_an_id_is_new_and_proves_its_origin() -> None:
    ids = Ids()
    made = {ids.new_of_reservation(KEYS) for _ in range(1000)}
    assert len(made) == 1000
    assert {prove(f"East~{one}", KEYS) for one in made} == {Proof.ISSUED}
    assert {prove(f"East~{one}.100", KEYS) for one in made} == {Proof.ISSUED}


def test_an_id_of_a_former_key_is_accepted_as_long_as_the_key() -> None:
    made = make_signed_id(b"12345678", b"old")
    assert prove(made, SigningKeys(current=b"new", former=(b"old",))) is Proof.ISSUED
    assert prove(made, SigningKeys(current=b"new")) is Proof.FORGED


def test_a_changed_id_is_forged() -> None:
    made = make_signed_id(b"12345678", KEYS.current)
    for at in range(len(made)):
        other = "A" if made[at] != "A" else "B"
        assert prove(made[:at] + other + made[at + 1 :], KEYS) is Proof.FORGED


@pytest.mark.parametrize("number", ["0", "1", "101", "999"])
def test_no_grant_has_that_reservation(number: str) -> None:
    made = make_signed_id(b"12345678", KEYS.current)
    assert prove(f"{made}.{number}", KEYS) is Proof.FORGED


def test_beside_a_replica_of_an_earlier_version_ids_have_its_form() -> None:
    made = Ids().new_of_reservation(SigningKeys(current=b"k", signs_ids=False))
    assert len(made) == 11
    assert prove(made, KEYS) is Proof.UNPROVED
