{#- What is wrong with a row of lytics_field_map, in words that end a sentence; null where nothing is.
    Reads the columns of fields__lytics_mappings, and belongs to it alone.
-#}
{% macro lytics_mapping_problem() -%}
    case
        when stream not in ('amplitude_cohorts', 'amplitude_events')
            then 'a stream is amplitude_cohorts or amplitude_events'
        when function_name is null
            then 'the expression is not in the grammar'
        when
            not regexp_full_match(
                target_type,
                'string|int|number|bool|date|map\[string\](?:string|int|number|bool|intsum)'
            )
            then 'a target type is string, int, number, bool, date, or map[string] of string, int,'
                || ' number, bool or intsum'
        when (function_name in ('map', 'match', 'valuect')) != (element_type is not null)
            then 'map, match and valuect fill a map, a field and todate do not'
        when (function_name = 'valuect') != coalesce(element_type = 'intsum', false)
            then 'valuect and map[string]intsum go together'
        when function_name = 'todate' and target_type != 'date'
            then 'todate fills a date'
        when
            function_name = 'todate'
            and not regexp_full_match(
                regexp_replace(literal_text, '2006|01|02|15|04|05(?:[.]0+)?', '', 'g'), '[-/:., TZ]*'
            )
            then 'a layout is made of 2006, 01, 02, 15, 04, 05, 05.000000, - / : . , T Z and blanks'
        when is_unique_id and target_type != 'string'
            then 'a unique id is a string'
        when rows_of_target > 1
            then 'another row of the stream fills the same field'
        when types_of_target > 1
            then 'the other stream fills the same field with another type'
    end
{%- endmacro %}
