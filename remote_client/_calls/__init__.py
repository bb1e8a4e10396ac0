"""One call: its record, its attempts, its answers."""
