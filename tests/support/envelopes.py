"""Answers of a platform as they were seen or are feared, for tests."""

SOAP_11 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP_12 = "http://www.w3.org/2003/05/soap-envelope"
SERVICE = "http://services.vp.avaya.com"


def envelope(payload: str, *, soap: str = SOAP_11) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<soapenv:Envelope xmlns:soapenv="{soap}"><soapenv:Body>{payload}</soapenv:Body>'
        "</soapenv:Envelope>"
    ).encode()


def counts(total: object = 200, sip: object = 64, h323: object = 10) -> bytes:
    """A good answer to QueryResources."""
    return envelope(
        f'<ns1:QueryResourcesResponse xmlns:ns1="{SERVICE}">'
        f"<ns1:totalRes_returned>{total}</ns1:totalRes_returned>"
        f"<ns1:unusedSIP_returned>{sip}</ns1:unusedSIP_returned>"
        f"<ns1:unusedH323_returned>{h323}</ns1:unusedH323_returned>"
        "</ns1:QueryResourcesResponse>"
    )


def fault(code: object = 7, description: str = "no such zone") -> bytes:
    """A fault as Axis 1 writes it: its detail in the empty namespace, the children qualified."""
    return envelope(
        "<soapenv:Fault><faultcode>soapenv:Server</faultcode><faultstring>x</faultstring><detail>"
        f'<QueryResourcesFault xmlns="" xmlns:ns1="{SERVICE}">'
        f"<ns1:returnCode>{code}</ns1:returnCode>"
        f"<ns1:description>{description}</ns1:description>"
        "</QueryResourcesFault></detail></soapenv:Fault>"
    )


def plain(payload: str) -> bytes:
    """Without any namespace."""
    return f"<Envelope><Body>{payload}</Body></Envelope>".encode()
