"""Until when a certificate is valid, compared with what the package cryptography reads."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from admission.http.server.certificate_expiry import read_expiry
from admission.http.server.tls import Certificates

ENDS = [datetime(2031, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2061, 1, 2, 3, 4, 5, tzinfo=UTC)]


@pytest.mark.parametrize("end", ENDS, ids=["UTCTime", "GeneralizedTime"])
@pytest.mark.parametrize("key", list(trustme.KeyType))
def test_the_end_of_the_first_certificate_is_read(
    tmp_path: Path, end: datetime, key: trustme.KeyType
) -> None:
    authority = trustme.CA(key_type=key)
    issued = authority.issue_cert("a.example", not_after=end, key_type=key)
    file = tmp_path / "cert.pem"
    file.write_bytes(
        b"a comment\n" + issued.cert_chain_pems[0].bytes() + authority.cert_pem.bytes()
    )
    known = x509.load_pem_x509_certificate(issued.cert_chain_pems[0].bytes())
    assert read_expiry(file) == known.not_valid_after_utc.timestamp() == end.timestamp()


def test_a_reload_reads_it_again(tmp_path: Path) -> None:
    files = tmp_path / "cert.pem", tmp_path / "key.pem"

    def write(end: datetime) -> None:
        issued = trustme.CA().issue_cert("a.example", not_after=end)
        issued.cert_chain_pems[0].write_to_path(str(files[0]))
        issued.private_key_pem.write_to_path(str(files[1]))

    write(ENDS[0])
    certificates = Certificates(*files)
    assert certificates.expires_at_s == ENDS[0].timestamp()
    write(ENDS[1])
    certificates.reload()
    assert certificates.expires_at_s == ENDS[1].timestamp()


@given(st.binary(max_size=80))
def test_what_is_no_certificate_has_no_end(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    import base64

    file = tmp_path_factory.mktemp("odd") / "cert.pem"
    text = base64.encodebytes(content).decode()
    file.write_text(f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n")
    assert read_expiry(file) is None
    file.unlink()
    assert read_expiry(file) is None
