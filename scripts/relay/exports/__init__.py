"""Event exports as things with a life: created, edited, stopped, listed."""
