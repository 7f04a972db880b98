"""Scripts that run what others use, in bench/.venv; each prints one JSON document."""
