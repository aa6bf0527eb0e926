"""Declared options: parsers take text and values alike, and the readers share one mechanism."""

from __future__ import annotations

from typing import Any

import pytest

from mlsql_runtime.errors import InputError, OptionError
from mlsql_runtime.plan import KafkaFeed, PythonEnv, Train
from mlsql_runtime.plan.options import ArgumentReader, all_arguments, read_options, to_snake_case
from mlsql_runtime.plan.parsers import BOOLEAN, COLUMNS, FLAGS, GROUPS, MAPPING, NO_FILES, NUMBER, POSITIVE, Parser, choice, whole


@pytest.mark.parametrize(
    ("parser", "values", "expected"),
    [
        (BOOLEAN, [True, "true", " TRUE "], True),
        (whole(0), [7, "7", " 7 "], 7),
        (NUMBER, [0.5, "0.5", "5e-1"], 0.5),
        (choice("all", "any"), ["any"], "any"),
        (choice(max=True, min=False), ["min"], False),
        (FLAGS, [("-X", "dev"), ["-X", "dev"], "-X dev"], ("-X", "dev")),
        (MAPPING, [{"a": True, "b": None}, '{"a": true, "b": null}', "{'a': True}"], {"a": "true"}),
        (GROUPS, [[{"a": 1}], {"a": 1}, '[{"a": 1}]', ['{"a": 1}'], ["{'a': 1}"]], ({"a": "1"},)),
        (COLUMNS, ["a, b c", ["a", "b c"], '["a", "b c"]', "['a', 'b c']", ("a", "b c")], ("a", "b c")),
        (GROUPS, [[{}, {}], [None, "None"], ["", "{}"]], ({}, {})),
    ],
)
def test_text_and_values_give_the_same(parser: Parser, values: list[Any], expected: object) -> None:
    assert [parser.parse(value, "x") for value in values] == [expected] * len(values)


@pytest.mark.parametrize(
    ("parser", "value", "message"),
    [
        (BOOLEAN, "yes", "x is 'yes'; expected true or false"),
        (BOOLEAN, None, "x is None; expected true or false"),
        (GROUPS, [{}, 3], "x is a list; expected a list of dicts, one for each fit group (element 1 is a int)"),
        (COLUMNS, "a,,b", "x is 'a,,b'; expected columns, separated by commas or as a list (a name is empty)"),
        (COLUMNS, ["a", "A"], "x is a list; expected columns, separated by commas or as a list (a is named twice)"),
        (COLUMNS, 3, "x is 3; expected columns, separated by commas or as a list"),
        (whole(1), "1_0", "x is '1_0'; expected a whole number of at least 1"),
        (whole(0, 9), 10, "x is 10; expected a whole number from 0 to 9"),
        (NUMBER, "nan", "x is 'nan'; expected a number"),
        (POSITIVE, 0, "x is 0.0; expected a number over 0"),
        (choice("a", "b", "c"), "d", "x is 'd'; expected a, b or c"),
        (MAPPING, "secret", 'x is a str; expected a JSON object, such as {"NAME": "value"}, or a dict'),
        (MAPPING, [1], 'x is a list; expected a JSON object, such as {"NAME": "value"}, or a dict'),
    ],
)
def test_an_error_knows_name_value_and_expectation(parser: Parser, value: Any, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        parser.parse(value, "x")
    assert caught.value.message == message
    assert f"{caught.value.name} is {caught.value.got}; expected {caught.value.expected}" == message


@pytest.mark.parametrize("nothing", ["", None, "None", "null", {}, "{}"])
def test_arguments_that_hold_nothing_mean_the_defaults(nothing: Any) -> None:
    """Templates render such values for parameters that nobody has set."""
    given = {"python_script_path": "/t.py"}
    defaults = read_options(Train, ArgumentReader(given, NO_FILES))
    given |= dict.fromkeys(set(all_arguments(Train)) - given.keys(), nothing)
    assert read_options(Train, ArgumentReader(given, NO_FILES)) == defaults
    assert (defaults["fail_on"], defaults["fit_params"], defaults["greater_is_better"]) == ("all", ({},), True)


def test_a_list_without_packages_means_no_requirements_and_one_without_groups_is_an_error() -> None:
    assert read_options(PythonEnv, ArgumentReader({"requirements": "[]"}, NO_FILES))["requirements"] is None
    fields = read_options(Train, ArgumentReader({"python_script_path": "/t.py", "fit_params": []}, NO_FILES))
    fields.pop("enable_data_local")
    with pytest.raises(InputError, match="fitParam holds no group"):
        Train(**fields, table="t", model_path="/m")


def test_one_dict_holds_several_options() -> None:
    config = {"topic.partitions": 2, "topic.retention.ms": 9, "client.id": "me"}
    fields = read_options(KafkaFeed, ArgumentReader({"kafka_topic": "t", "kafka_config": config}, NO_FILES))
    assert (fields["partitions"], fields["topic_configs"]) == (2, {"retention.ms": "9"})
    assert fields["settings"] == {"client.id": "me"}


def test_arguments_are_named_in_snake_case() -> None:
    assert to_snake_case("enableCopyTrainParamsToPython") == "enable_copy_train_params_to_python"
