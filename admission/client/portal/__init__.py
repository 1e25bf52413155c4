"""Launches granted calls on Avaya Experience Portal.

```python
async with AdmissionClient("http://127.0.0.1:8080") as client, PortalLauncher(...) as portal:
    ...
```
"""

from admission.client.portal.launch_fields import LaunchOptions, Place, SipHint
from admission.client.portal.launcher import LaunchFailed, PortalLauncher

__all__ = ["LaunchFailed", "LaunchOptions", "Place", "PortalLauncher", "SipHint"]
