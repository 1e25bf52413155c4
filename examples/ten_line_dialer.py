"""A complete dialer for Experience Portal that launches only calls that find a port.

    python examples/ten_line_dialer.py PLATFORM_URL +15550100 +15550101 ...

PLATFORM_URL is the Application Interface web service; a demo (`admission serve`) prints the URL
of its simulated platform. The page `examples/outcall.ccxml` reports the progress of each call.
"""

import asyncio
import os
import sys

from admission.client import AdmissionClient
from admission.client.portal import PortalLauncher


async def dial(service: str, platform: str, numbers: list[str]) -> None:
    """Call every number, one launch after the other."""
    async with AdmissionClient(service) as client, PortalLauncher(platform) as portal:
        for number in numbers:
            async with client.admission("collections", patience_s=60) as grant:
                await portal.launch_ccxml(grant, f"tel:{number}", "outcall", page_reports=True)
                print(f"{number}: launched on {grant.channel}")


if len(sys.argv) < 3:
    sys.exit(__doc__)
service = os.environ.get("ADMISSION_URL", "http://127.0.0.1:8080")
asyncio.run(dial(service, sys.argv[1], sys.argv[2:]))
