"""The `[sources.X]` table of an Experience Portal, and the two dialects that it may speak."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import StringConstraints, model_validator

from admission.config.base import SourceSection
from admission.config.secret_refs import Secret
from admission.domain.validation import Problem, raise_problems

Flavor: TypeAlias = Literal["axis1", "axis2"]
Auth: TypeAlias = Literal["basic", "digest", "none"]
SoapVersion: TypeAlias = Literal["1.1", "1.2"]

# Printable ASCII without the quotes and the backslash that would end the header's string early.
_ACTION: Final = r"^[ !#-\[\]-~]{0,200}$"
_XML_NAME: Final = r"^([A-Za-z_][A-Za-z0-9_.-]{0,63})?$"
_NAMESPACE: Final = r"^[!-~]{1,500}$"
_USERNAME: Final = r"^[^\x00-\x1f\x7f]{0,128}$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How one flavor of the Application Interface is spoken.

    Args:
        namespace: of the operations and their fields.
        soap_action: the URI in the SOAPAction header; `{operation}` in it becomes the name.
        zone_field: of QueryResources; empty: this flavor knows no zones.
        auth: how the caller proves who it is.
    """

    namespace: str
    soap_action: str
    zone_field: str
    auth: Auth


# axis1 was seen in classes generated from a real WSDL. Of axis2 only Basic is documented: that its
# namespace is the same, its SOAPAction empty and its zone called `zone` is assumed, so each is a
# setting. Source: the platform page of Experience Portal.
DIALECTS: Final[Mapping[Flavor, Dialect]] = {
    "axis1": Dialect(
        namespace="http://services.vp.avaya.com", soap_action=" ", zone_field="", auth="digest"
    ),
    "axis2": Dialect(
        namespace="http://services.vp.avaya.com", soap_action="", zone_field="zone", auth="basic"
    ),
}


class ExperiencePortalSettings(SourceSection):
    """The Application Interface web service of one Experience Portal system: see
    [platforms/experience-portal.md](platforms/experience-portal.md)."""

    type: Literal["experience_portal"] = "experience_portal"
    """Says which kind of table this is."""
    flavor: Flavor = "axis2"
    """Sets what `namespace`, `soap_action`, `zone_field` and `auth` are when absent."""
    namespace: Annotated[str, StringConstraints(pattern=_NAMESPACE)] | None = None
    """XML namespace of the operations and their fields."""
    soap_action: Annotated[str, StringConstraints(pattern=_ACTION)] | None = None
    """The URI in the SOAPAction header; `{operation}` in it becomes the operation's name."""
    zone_field: Annotated[str, StringConstraints(pattern=_XML_NAME)] | None = None
    """Name of the zone's field in QueryResources; empty: none is sent, and every zone is the
    platform's default."""
    auth: Auth | None = None
    """How the caller proves who it is."""
    soap_version: SoapVersion = "1.1"
    """Of the envelopes."""
    username: Annotated[str, StringConstraints(pattern=_USERNAME)] | None = None
    """A user with the Web Services role."""
    password: Secret | None = None
    """Of that user."""

    @property
    def dialect(self) -> Dialect:
        """The flavor's defaults with what the operator said instead."""
        usual = DIALECTS[self.flavor]
        said = self.zone_field
        return Dialect(
            namespace=self.namespace or usual.namespace,
            soap_action=usual.soap_action if self.soap_action is None else self.soap_action,
            zone_field=usual.zone_field if said is None else said,
            auth=self.auth or usual.auth,
        )

    @property
    def secret(self) -> str:
        """The password in the clear, empty if there is none."""
        return self.password.get_secret_value() if self.password else ""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        raise_problems("source", self._credentials())
        return self

    def _credentials(self) -> Iterator[Problem]:
        auth = self.dialect.auth
        for key in ("username", "password"):
            given = bool(getattr(self, key))
            if auth != "none" and not given:
                message = f'is required for {auth} auth (or say auth = "none")'
                yield Problem(place=(key,), message=message)
            if auth == "none" and given:
                yield Problem(place=(key,), message='goes with auth = "basic" or "digest"')
        if ":" in (self.username or ""):
            message = "must not contain a colon: neither Basic nor Digest has one"
            yield Problem(place=("username",), message=message)
