"""A made-up world with known truth, and the main job run against the emulators."""
