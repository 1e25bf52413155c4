"""The `[sources.X]` table of an Experience Portal, and the two dialects of its web service."""

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

# Printable ASCII without quotes and backslash, which would end the header's string early.
_ACTION: Final = r"^[ !#-\[\]-~]{0,200}$"
_XML_NAME: Final = r"^([A-Za-z_][A-Za-z0-9_.-]{0,63})?$"
_NAMESPACE: Final = r"^[!-~]{1,500}$"
_OPTIONAL_NAMESPACE: Final = r"^[!-~]{0,500}$"
_REQUEST_ELEMENT: Final = r"^([A-Za-z_][A-Za-z0-9_.-]{0,63})?\{operation\}[A-Za-z0-9_.-]{0,63}$"
USERNAME: Final = r"^[^\x00-\x1f\x7f]{0,128}$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """The protocol details of one flavor of the Application Interface.

    Args:
        namespace: of the operations and their fields.
        soap_action: the URI in the SOAPAction header; `{operation}` in it becomes the name.
        zone_field: name of the zone's field in QueryResources; empty: this flavor has no zones.
        auth: the HTTP authentication scheme.
        field_namespace: of the fields; None: that of the operations, empty: none.
        request_element: of a request; `{operation}` in it becomes the name.
        unused_field: name of the meaningless field of QueryResources; empty: it is not sent.
        zone_first: whether the zone precedes that field.
    """

    namespace: str
    soap_action: str
    zone_field: str
    auth: Auth
    field_namespace: str | None = None
    request_element: str = "{operation}Request"
    unused_field: str = "queryResourcesRequestUnused"
    zone_first: bool = False


# axis1: from classes generated from a real WSDL. Of axis2 only Basic is documented; the same
# namespace, an empty SOAPAction and the field name `zone` are assumptions, so each is a setting.
# Source: docs/platforms/experience-portal.md.
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
    """Selects the platform."""
    flavor: Flavor = "axis2"
    """Determines the defaults of `namespace`, `soap_action`, `zone_field` and `auth`."""
    namespace: Annotated[str, StringConstraints(pattern=_NAMESPACE)] | None = None
    """XML namespace of the operations and their fields."""
    soap_action: Annotated[str, StringConstraints(pattern=_ACTION)] | None = None
    """The URI in the SOAPAction header; `{operation}` in it becomes the operation's name."""
    zone_field: Annotated[str, StringConstraints(pattern=_XML_NAME)] | None = None
    """Name of the zone's field in QueryResources. Empty: the field is not sent, and the platform
    answers with its default zone."""
    unused_field: Annotated[str, StringConstraints(pattern=_XML_NAME)] = (
        "queryResourcesRequestUnused"
    )
    """Name of the field of QueryResources that has no meaning. Empty: it is not sent. Axis 2
    refuses a field that its WSDL does not have ("Unexpected subelement"): `admission probe` reads
    this and the next three settings from the portal's WSDL."""
    zone_first: bool = False
    """Whether the zone's field precedes `unused_field`. Axis 2 refuses any other order than that of
    its WSDL."""
    field_namespace: Annotated[str, StringConstraints(pattern=_OPTIONAL_NAMESPACE)] | None = None
    """XML namespace of the fields. Absent: `namespace`. Empty: none, as with
    `elementFormDefault="unqualified"`."""
    request_element: Annotated[str, StringConstraints(pattern=_REQUEST_ELEMENT)] = (
        "{operation}Request"
    )
    """Name of the element that contains the fields; `{operation}` in it becomes the operation's
    name."""
    auth: Auth | None = None
    """HTTP authentication scheme."""
    soap_version: SoapVersion = "1.1"
    """SOAP version of the envelopes."""
    username: Annotated[str, StringConstraints(pattern=USERNAME)] | None = None
    """A user with the Web Services role."""
    password: Secret | None = None
    """Password of that user."""
    credentials_charset: Literal["utf-8", "iso-8859-1"] | None = None
    """Encoding of username and password. Absent: UTF-8, or what the server's challenge names."""

    @property
    def dialect(self) -> Dialect:
        """The flavor's defaults, replaced where a setting is present."""
        default = DIALECTS[self.flavor]
        zone_field = self.zone_field
        return Dialect(
            namespace=self.namespace or default.namespace,
            soap_action=default.soap_action if self.soap_action is None else self.soap_action,
            zone_field=default.zone_field if zone_field is None else zone_field,
            auth=self.auth or default.auth,
            field_namespace=self.field_namespace,
            request_element=self.request_element,
            unused_field=self.unused_field,
            zone_first=self.zone_first,
        )

    @property
    def secret(self) -> str:
        """The password in clear text, empty without one."""
        return self.password.get_secret_value() if self.password else ""

    @model_validator(mode="after")
    def _check_credentials(self) -> Self:
        raise_problems("source", self._find_credential_problems())
        return self

    def _find_credential_problems(self) -> Iterator[Problem]:
        auth = self.dialect.auth
        for key in ("username", "password"):
            given = bool(getattr(self, key))
            if auth != "none" and not given:
                message = f'is required for {auth} auth (or set auth = "none")'
                yield Problem(place=(key,), message=message)
            if auth == "none" and given:
                yield Problem(place=(key,), message='requires auth = "basic" or "digest"')
        if ":" in (self.username or ""):
            message = "must not contain a colon: Basic and Digest do not allow one"
            yield Problem(place=("username",), message=message)
