"""Outbound dialer admission control: *may I launch?*, answered before the call is placed."""

__version__ = "0.1.0"
