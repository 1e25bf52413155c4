"""Huawei: counts of the CMS and states of the agent gateway."""
