{#- The UTC time in a text that is written just as a Go layout says, as Lytics' `todate("layout", x)` reads
    it; null where the two differ in a single place, such as three digits of a fraction for six.

    value:  expression holding the text.
    layout: expression holding the layout, made of `2006`, `01`, `02`, `15`, `04`, `05`, a fraction of zeroes,
            and `-`, `/`, `:`, `.`, `,`, blanks, `T` and `Z`. Every part has a fixed width, so that the place
            of a part in the layout is its place in the text.
-#}
{% macro date_of_layout(value, layout) -%}
    {%- set part = "substr(" ~ value ~ ", instr(" ~ layout ~ ", '{}'), {})" -%}
    case
        when translate({{ value }}, '123456789', '000000000')
            = translate({{ layout }}, '123456789', '000000000')
            then try_cast(
                {{ part.format('2006', 4) }} || '-'
                {%- for token, default in [('01', '01'), ('02', '02'), ('15', '00'), ('04', '00'), ('05', '00')] %}
                || if(instr({{ layout }}, '{{ token }}') > 0, {{ part.format(token, 2) }}, '{{ default }}')
                || '{{ {"01": "-", "02": " ", "15": ":", "04": ":", "05": "."}[token] }}'
                {%- endfor %}
                || coalesce(
                    nullif(
                        substr(
                            {{ value }},
                            instr({{ layout }}, '05.0') + 3,
                            length(regexp_extract({{ layout }}, '05[.](0+)', 1))
                        ),
                        ''
                    ),
                    '0'
                ) as timestamp
            )
    end
{%- endmacro %}
