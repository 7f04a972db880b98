"""The `relay` command: arguments in, one call, one line or document out."""
