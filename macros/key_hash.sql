{#- 64 bits that stand for a key where keys are compared or looked for. The engine's hash of two
    columns is one hash XOR the other, so that over several keys equal parts would cancel out; hashed
    once more it may be summed by XOR. Another version of the engine may hash otherwise, so a stored
    one narrows down which keys are read, and where sums of both sides differ more are read: told apart
    they are by what they are.

    key_type, match_key: expressions holding the key.
-#}
{% macro key_hash(key_type, match_key) -%}
    hash(hash({{ key_type }}, {{ match_key }}))
{%- endmacro %}
