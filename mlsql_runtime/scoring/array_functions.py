"""MLSQL's functions on arrays, maps and text, as temporary SQL functions of Spark: part of the query, without Python workers.

Arguments have the types that MLSQL gave them; Spark casts others, such as arrays of numbers for arrays of strings.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ArrayFunction:
    """A function of SQL: its parameters with their types, the type of its result, and the expression that computes it."""

    name: str
    parameters: str
    result: str
    body: str

    @property
    def definition(self) -> str:
        """The statement that makes the function callable in a session."""
        return f"CREATE TEMPORARY FUNCTION {self.name}({self.parameters}) RETURNS {self.result} RETURN {self.body}"


_BEGIN, _END = "IF(first < 0, 0, first)", "IF(behind = -1 OR behind > size(items), size(items), behind)"
_HAN, _PUNCTUATION = (f"regexp_like(letter, r'\\p{{{name}}}')" for name in ("IsHan", "P"))
_KEPT = f"{_HAN} OR (punctuation AND {_PUNCTUATION}) OR array_contains(others, letter)"
FUNCTIONS = {
    function.name.lower(): function
    for function in (
        ArrayFunction("array_concat", "arrays ARRAY<ARRAY<STRING>>", "ARRAY<STRING>", "flatten(arrays)"),
        ArrayFunction("array_number_concat", "arrays ARRAY<ARRAY<DOUBLE>>", "ARRAY<DOUBLE>", "flatten(arrays)"),
        ArrayFunction("array_index", "items ARRAY<STRING>, item STRING", "INT", "CAST(array_position(items, item) - 1 AS INT)"),
        ArrayFunction(
            "array_slice",
            "items ARRAY<STRING>, first INT, behind INT",
            "ARRAY<STRING>",
            f"slice(items, {_BEGIN} + 1, IF({_END} < {_BEGIN}, 0, {_END} - {_BEGIN}))",
        ),
        ArrayFunction("array_number_to_string", "numbers ARRAY<STRING>", "ARRAY<STRING>", "numbers"),
        ArrayFunction("array_string_to_double", "texts ARRAY<STRING>", "ARRAY<DOUBLE>", "CAST(texts AS ARRAY<DOUBLE>)"),
        ArrayFunction("array_string_to_float", "texts ARRAY<STRING>", "ARRAY<FLOAT>", "CAST(texts AS ARRAY<FLOAT>)"),
        ArrayFunction("array_string_to_int", "texts ARRAY<STRING>", "ARRAY<INT>", "CAST(texts AS ARRAY<INT>)"),
        ArrayFunction("to_array_double", "items ARRAY<STRING>", "ARRAY<DOUBLE>", "CAST(items AS ARRAY<DOUBLE>)"),
        ArrayFunction(
            "map_value_int_to_double", "numbers MAP<STRING, INT>", "MAP<STRING, DOUBLE>", "CAST(numbers AS MAP<STRING, DOUBLE>)"
        ),
        ArrayFunction(
            "padding_int_array",
            "numbers ARRAY<INT>, length INT, filling INT",
            "ARRAY<INT>",
            "concat(slice(numbers, 1, length), array_repeat(filling, greatest(length - size(numbers), 0)))",
        ),
        ArrayFunction(
            "ngram",
            "words ARRAY<STRING>, length INT",
            "ARRAY<STRING>",
            "CASE WHEN size(words) < length THEN CAST(array() AS ARRAY<STRING>) WHEN words IS NOT NULL THEN "
            "transform(sequence(1, size(words) - length + 1), start -> array_join(slice(words, start, length), ' ', 'null')) END",
        ),
        ArrayFunction("mkString", "separator STRING, items ARRAY<STRING>", "STRING", "array_join(items, separator, 'null')"),
        ArrayFunction("decodeKafka", "bytes BINARY", "STRING", "CAST(bytes AS STRING)"),
        ArrayFunction(
            "keepChinese",
            "text STRING, punctuation BOOLEAN, others ARRAY<STRING>",
            "STRING",
            f"array_join(filter(split(text, ''), letter -> {_KEPT}), '')",
        ),
    )
}
