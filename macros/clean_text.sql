{#- A text identifier as it is compared: composed (NFC, so full-width letters stay different), without
    white space and format characters at its ends. Nothing left, or more than 1,024 characters, is
    missing: a cut would join strangers. Steps 2 to 4 of ID-3 in docs/identity.md.

    value: expression holding text.
-#}
{% macro clean_text(value) -%}
    {%- set blank = '[\\x{00}-\\x{20}\\x{7F}-\\x{A0}\\x{1680}\\x{2000}-\\x{200D}\\x{2028}\\x{2029}'
        ~ '\\x{202F}\\x{205F}\\x{2060}\\x{3000}\\x{FEFF}]+' -%}
    {%- set stripped = "regexp_replace(nfc_normalize(" ~ value ~ "), '\\A" ~ blank ~ "|" ~ blank
        ~ "\\z', '', 'g')" -%}
    case
        when length({{ stripped }}) between 1 and 1024
            then {{ stripped }}
    end
{%- endmacro %}
