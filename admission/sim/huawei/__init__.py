"""A simulated Huawei contact centre: CMS, agent gateway, licences, agents, faults."""
