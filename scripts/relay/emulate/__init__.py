"""The vendors on loopback, as strict as they are known to be."""
