"""The settings that `relay` calls dbt with, for the plugin that dbt loads in the same process."""

from relay.settings import Settings

# None while no command of ours runs dbt: then a person has typed it.
current: Settings | None = None
