"""The ledger: reservations in Redis, decided by one Lua script. No other package uses Redis."""

from admission.ledger.agent_sessions import AgentSessionStore
from admission.ledger.ledger import Ledger, LedgerHooks
from admission.ledger.notifications import NOTIFICATIONS_LOST, NotificationListener
from admission.ledger.policy_cache import StoredPolicy
from admission.ledger.store.connection import RedisConnection, open_connection
from admission.ledger.store.embedded.server import EmbeddedRedis

__all__ = [
    "NOTIFICATIONS_LOST",
    "AgentSessionStore",
    "EmbeddedRedis",
    "Ledger",
    "LedgerHooks",
    "NotificationListener",
    "RedisConnection",
    "StoredPolicy",
    "open_connection",
]
