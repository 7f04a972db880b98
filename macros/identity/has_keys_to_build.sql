{#- A condition: whether keys are to be built at all, or are as the last build left them, because nobody
    has new evidence, no cohort a new snapshot, and no setting, sync or directory is another.
-#}
{% macro has_keys_to_build() -%}
    {{ 'true' if resolves_anew('keys') else 'false' }}
{%- endmacro %}
