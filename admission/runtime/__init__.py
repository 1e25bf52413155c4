"""The service as a process, or as several workers behind one port."""
