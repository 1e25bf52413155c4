"""From a `[sources.X]` table to a connection: one line for each platform."""

from collections.abc import Callable
from typing import Any, Final

from admission.errors import ConfigError
from admission.sources.base import Source
from admission.sources.experience_portal.source import ExperiencePortalSource
from admission.sources.huawei.agent_gateway import HuaweiAgentGatewaySource
from admission.sources.huawei.cms import HuaweiCmsSource

_BUILDERS: Final[dict[str, Callable[[str, Any], Source]]] = {
    "experience_portal": ExperiencePortalSource,
    "huawei_cms": HuaweiCmsSource,
    "huawei_agent_gateway": HuaweiAgentGatewaySource,
}


def build_source(name: str, settings: Any) -> Source:
    """The connection that a `[sources.X]` table describes; nothing is sent yet.

    Args:
        name: as the configuration calls it.
        settings: the table; its `type` says which platform.

    Raises:
        ConfigError: the platform is not supported by this version, or its CA file is unusable.
    """
    if settings.type not in _BUILDERS:
        raise ConfigError(f"sources.{name}: type {settings.type} is not supported by this version")
    return _BUILDERS[settings.type](name, settings)
