"""The `[sources.X]` table of an Experience Portal."""

from typing import Any

import pytest
from pydantic import ValidationError

from admission.config.sources.experience_portal import Dialect, ExperiencePortalSettings

GOOD: dict[str, Any] = {
    "type": "experience_portal",
    "url": "https://epm.example.com/axis2/services/VPAppIntfService",
    "username": "outcall",
    "password": "s3cret",
}


def parse(**said: Any) -> ExperiencePortalSettings:
    return ExperiencePortalSettings.model_validate(GOOD | said)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, ("http://services.vp.avaya.com", "", "zone", "basic")),
        ({"flavor": "axis1"}, ("http://services.vp.avaya.com", " ", "", "digest")),
        (
            {"flavor": "axis1", "zone_field": "vpZone", "soap_action": "urn:{operation}"},
            ("http://services.vp.avaya.com", "urn:{operation}", "vpZone", "digest"),
        ),
        (
            {"zone_field": "", "soap_action": "", "namespace": "urn:y", "auth": "digest"},
            ("urn:y", "", "", "digest"),
        ),
    ],
)
def test_the_flavor_sets_the_defaults(
    said: dict[str, Any], expected: tuple[str, str, str, str]
) -> None:
    dialect = parse(**said).dialect

    assert dialect == Dialect(
        namespace=expected[0],
        soap_action=expected[1],
        zone_field=expected[2],
        auth=expected[3],  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"url": "ftp://epm"}, "must start with http"),
        ({"url": "https:///axis"}, "name a host"),
        ({"url": "https://u:p@epm/"}, "must not contain a user or password"),
        ({"url": "https://epm/#x"}, "plain address"),
        ({"url": "https://epm/a b"}, "plain address"),
        ({"url": "https://epm:port/"}, "is not a URL"),
        ({"flavor": "axis3"}, "axis1"),
        ({"soap_action": 'x"\r\nEvil: 1'}, "pattern"),
        ({"namespace": ""}, "pattern"),
        ({"zone_field": "a b"}, "pattern"),
        ({"username": None}, "is required for"),
        ({"password": ""}, "is required for"),
        ({"username": "a:b"}, "colon"),
        ({"username": "a\r\nb"}, "pattern"),
        ({"auth": "none"}, "requires auth"),
        ({"timeout_ms": 0}, "greater than or equal to 10"),
        ({"timeout_ms": "3000"}, "valid integer"),
        ({"url": "http://epm/", "ca_file": "ca.pem"}, "needs TLS"),
        ({"ca_file": "ca.pem", "verify_tls": False}, "has no effect"),
        ({"pasword": "x"}, "Extra inputs"),
        ({"type": "huawei_cms"}, "experience_portal"),
    ],
)
def test_a_wrong_setting_is_refused_without_showing_the_password(
    said: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValidationError, match=says) as caught:
        parse(**said)
    assert "s3cret" not in str(caught.value)


def test_without_auth_no_user_is_needed() -> None:
    settings = ExperiencePortalSettings(url="http://127.0.0.1:9080/x", auth="none")

    assert settings.place == "127.0.0.1:9080"
    assert settings.secret == ""


def test_the_password_does_not_show() -> None:
    assert "s3cret" not in repr(parse())
    assert parse().secret == "s3cret"
