import asyncio
import pytest
from admission.errors import Unavailable
from admission.ledger.ledger import Ledger
from tests.ledger.test_cluster import *  # noqa

async def test_stress(three, connection):
    ledger, zone = Ledger(connection), three.zone_of(1, "moving-nothing")
    await opened(ledger, zone)
    move = Move(three, zone)
    move.begin()
    connection._deadline_s = 0.043
    connection.settings.__dict__["timeout_ms"] = 50
    hung = 0
    for n in range(400):
        t = asyncio.create_task(connection.evaluate(ledger._calls._script, __import__("admission.ledger.keys", fromlist=["zone_keys"]).zone_keys("adm", zone), b'[{"op":"time"}]', "bell"))
        done, _ = await asyncio.wait({t}, timeout=2)
        if not done:
            hung += 1
            print("HUNG", t, t.cancelling()); t.print_stack()
            t.cancel()
        else:
            t.exception()
    print("hung", hung)
    assert hung == 0
    move.end(); move.back()
