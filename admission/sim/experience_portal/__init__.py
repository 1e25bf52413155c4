"""A simulated Avaya Experience Portal: ports, calls, SOAP interfaces, faults."""
