"""When a source is asked: lease, schedule, back-off, health."""
