"""The class that connects to each kind of platform."""

from collections.abc import Callable
from typing import Any, Final

from admission.errors import ConfigError
from admission.sources.base import Source
from admission.sources.experience_portal import ExperiencePortalSource
from admission.sources.http_json import HttpJsonSource
from admission.sources.huawei.agent_gateway import HuaweiAgentGatewaySource
from admission.sources.huawei.cms import HuaweiCmsSource

_BUILDERS: Final[dict[str, Callable[[str, Any], Source]]] = {
    "experience_portal": ExperiencePortalSource,
    "huawei_cms": HuaweiCmsSource,
    "huawei_agent_gateway": HuaweiAgentGatewaySource,
    "http_json": HttpJsonSource,
}


def build_source(name: str, settings: Any) -> Source:
    """Build the connection that a `[sources.X]` table describes; it sends nothing yet.

    Args:
        name: the X of `[sources.X]`.
        settings: the table; its `type` selects the platform.

    Raises:
        ConfigError: this version does not support the platform, or its `ca_file` is unusable.
    """
    if settings.type not in _BUILDERS:
        raise ConfigError(f"sources.{name}: type {settings.type} is not supported by this version")
    return _BUILDERS[settings.type](name, settings)
