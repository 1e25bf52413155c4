"""Reports as HTML forms: every value is text, from which numbers and booleans are parsed."""

from typing import Final
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict

from admission.errors import BadRequest, FieldError, Invalid
from admission.http.parsing import validate
from admission.http.schemas.requests import End, EndFields, Launched, LaunchedFields, Renew

FORM: Final = "application/x-www-form-urlencoded"
FIELDS_MAX: Final = 100


class Form(BaseModel):
    """A form. A field without a value counts as absent: CCXML pages send all their variables."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_enum_values=True)


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
    model: type[Launched] | type[Renew] | type[End], body: bytes
) -> Launched | Renew | End:
    """The report in a form; raises `BadRequest` or `Invalid`."""
    try:
        pairs = parse_qsl(body.decode("utf-8"), errors="strict", max_num_fields=FIELDS_MAX)
    except ValueError:
        raise BadRequest(
            f"The body is not a form in UTF-8 with up to {FIELDS_MAX} fields."
        ) from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Invalid(FieldError(field="body", message="A field is given twice"))
    form = validate(FORMS[model], fields)
    return model.model_validate(form.model_dump(exclude_unset=True))
