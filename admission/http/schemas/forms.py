"""Reports as HTML forms: every value is text, from which numbers and booleans are parsed."""

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict

from admission.errors import BadRequest, FieldError, Invalid
from admission.http.parsing import validate
from admission.http.schemas.requests import End, EndFields, Launched, LaunchedFields, Renew

FORM: Final = "application/x-www-form-urlencoded"
# Voice pages post all of their variables.
FIELDS_MAX: Final = 1_000


class Form(BaseModel):
    """A form. CCXML pages post all their variables: fields without a value count as absent, and
    unknown ones are ignored, since a refused report leaves its call counted."""

    model_config = ConfigDict(extra="ignore", frozen=True, use_enum_values=True)


class LaunchedForm(LaunchedFields, Form):
    """`launched` as a form."""


class RenewForm(Form):
    """`renew` as a form: it has no fields."""


class EndForm(EndFields, Form):
    """`end` as a form."""


FORMS: Final[dict[type[BaseModel], type[Form]]] = {
    Launched: LaunchedForm,
    Renew: RenewForm,
    End: EndForm,
}


def parse_form(
    model: type[Launched] | type[Renew] | type[End],
    body: bytes,
    convert: Callable[[dict[str, Any]], dict[str, Any]],
) -> Launched | Renew | End:
    """The report in a form; raises `BadRequest` or `Invalid`. `convert`: of its fields, first."""
    try:
        pairs = parse_qsl(body.decode("utf-8"), errors="strict", max_num_fields=FIELDS_MAX)
    except ValueError:
        raise BadRequest(
            f"The body is not a form in UTF-8 with up to {FIELDS_MAX} fields."
        ) from None
    known = [pair for pair in pairs if pair[0] in FORMS[model].model_fields]
    fields = dict(known)
    if len(fields) != len(known):
        raise Invalid(FieldError(field="body", message="A field is given twice"))
    form = validate(FORMS[model], convert(fields))
    return model.model_validate(form.model_dump(exclude_unset=True))
