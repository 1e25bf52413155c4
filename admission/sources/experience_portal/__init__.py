"""Avaya Experience Portal: counts of free ports over SOAP."""

from admission.sources.experience_portal.soap import SoapFault, Value, read_integer
from admission.sources.experience_portal.soap_client import SoapClient
from admission.sources.experience_portal.source import ExperiencePortalSource

__all__ = [
    "ExperiencePortalSource",
    "SoapClient",
    "SoapFault",
    "Value",
    "read_integer",
]
