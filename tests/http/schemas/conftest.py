"""The fake platform of the tests of the whole service."""

from tests.support.service_fixtures import source

__all__ = ["source"]
