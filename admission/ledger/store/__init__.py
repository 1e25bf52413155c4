"""Connections to Redis: single server, Sentinel, Cluster, embedded; checks of each."""
