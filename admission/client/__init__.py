"""The client for dialers: `async with client.admission(...) as grant:`, or the same without async.

The package depends on the HTTP API (api.md) only. `admission.client.portal` launches granted calls
on Experience Portal.
"""

from admission.client.answers import Denied, Listed, Reported, Reservation, Snapshot, Verdict
from admission.client.blocking import BlockingClient, BlockingGrant
from admission.client.client import AdmissionClient, AskOptions
from admission.client.errors import NotAdmitted
from admission.client.grant import Grant, Granted
from admission.domain.outcomes import Outcome, Reason
from admission.errors import AdmissionError, CallerError, Unavailable

__all__ = [
    "AdmissionClient",
    "AdmissionError",
    "AskOptions",
    "BlockingClient",
    "BlockingGrant",
    "CallerError",
    "Denied",
    "Grant",
    "Granted",
    "Listed",
    "NotAdmitted",
    "Outcome",
    "Reason",
    "Reported",
    "Reservation",
    "Snapshot",
    "Unavailable",
    "Verdict",
]
