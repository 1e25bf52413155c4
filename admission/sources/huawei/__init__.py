"""Huawei contact centres: licence counters of CC-CMS, agents' calls of CC-Gateway."""
