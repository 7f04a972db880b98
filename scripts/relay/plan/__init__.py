"""Plans: what dbt says is to be sent, sealed into request files."""
