"""Simulations in virtual time: many dialers, a bad network and the real script on a real Redis.

scenarios.py   what may go wrong in a run
parameters.py  what a seed determines: ports, delays, behaviour, policy
controller.py  replicas and Redis: group commit, the test clock, its steps, loss of state
network.py     delays, losses, doubles, other orders
poller.py      lease, snapshot, ingest
dialer.py      requests and launches; dialer_reports.py: reports
foreign_calls.py  foreign calls, and when the promise lets them grow
failures.py    failures of Redis, clocks, dialers, media servers
checks.py      what must hold during a run and at its end
simulation.py  composes them
huawei_*.py    the same for a Huawei call centre: two sources, licences, agents
run.py         one seed: simulate() and what a failure prints
"""
