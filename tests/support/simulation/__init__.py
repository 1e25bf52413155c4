"""The whole in virtual time: many dialers, a bad network and the real scripts on a real Redis.

scenarios.py   what may go wrong in a run
parameters.py  what a seed draws: ports, delays, habits, policy
controller.py  replicas and Redis: group commit, the test clock, its steps, loss of state
network.py     delays, losses, doubles, other orders
poller.py      lease, photograph, ingest
dialer.py      asks and launches; dialer_reports.py says what became of it
foreign.py     everybody else's calls, and when the promise lets them grow
failures.py    when things go wrong
checks.py      what must be true meanwhile and at the end
world.py       all of it together; the truth of what was granted
huawei_*.py    the same with a Huawei call centre: two sources, licences, agents
run.py         one seed: simulate() and what a failure prints
"""
