from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsql_runtime import codec
from mlsql_runtime.errors import FormatError, InputError
from mlsql_runtime.plan import (
    PLAN_VERSION,
    FileFeed,
    FunctionRef,
    KafkaFeed,
    Load,
    Plan,
    Predict,
    PythonEnv,
    Register,
    Save,
    Select,
    Train,
    dump_plan,
    load_plan,
)

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
texts = st.text(min_size=1, max_size=20).filter(lambda text: bool(text.strip()))
options = st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3)
numbers = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(1, 10**6)
maybe_text = st.none() | texts
maybe_index = st.none() | st.integers(0, 99)
pythons = st.builds(
    PythonEnv,
    path=maybe_text,
    version=st.sampled_from([None, "3", "3.11", "3.12.1"]),
    flags=st.lists(texts, max_size=2).map(tuple),
    envs=options,
    timeout=st.none() | st.floats(0.1, 1e6),
)
held_out = st.fixed_dictionaries({"validate_table": names}) | st.fixed_dictionaries(
    {"validate_fraction": st.none() | st.floats(0.01, 0.99)}
)
kafka_names = st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True)
kafka_feeds = st.builds(
    KafkaFeed,
    topic=kafka_names,
    settings=options,
    secrets=maybe_text,
    group=st.none() | kafka_names,
    keep=st.booleans(),
    partitions=st.none() | counts,
    replication_factor=st.none() | counts,
    topic_configs=options,
)
trains = st.builds(
    lambda held, **fields: Train(**fields, **held),
    held_out,
    table=names,
    model_path=texts,
    script_path=texts,
    fit_params=st.lists(options, min_size=1, max_size=3).map(tuple),
    feed=st.builds(FileFeed, format=texts, file_num=st.none() | counts, options=options) | kafka_feeds,
    python=pythons,
    keep_versions=st.none() | counts,
    greater_is_better=st.booleans(),
    fail_on=st.sampled_from(["all", "any"]),
    keep_local_directory=st.booleans(),
)
statements: dict[str, st.SearchStrategy[Any]] = {
    "load": st.builds(Load, table=names, format=texts, path=maybe_text, options=options),
    "select": st.builds(
        Select,
        table=names,
        sql=texts,
        functions=st.lists(
            st.builds(FunctionRef, name=names, model_path=texts, function=names, function_version=st.none() | counts),
            max_size=2,
        ).map(tuple),
    ),
    "train": trains,
    "register": st.builds(
        Register,
        model_path=texts,
        function=names,
        script_path=texts,
        model_version=st.none() | counts,
        alg_index=maybe_index,
        copy_train_params=st.booleans(),
        min_score=st.none() | numbers,
        only_if_better=st.none() | st.floats(0, 1e9),
        sample_table=st.none() | names,
        author=maybe_text,
    ),
    "predict": st.builds(
        Predict,
        table=names,
        model_path=texts,
        script_path=texts,
        result=names,
        model_version=st.none() | counts,
        alg_index=maybe_index,
        params=options,
        python=pythons,
        same_rows=st.booleans(),
    ),
    "save": st.builds(
        Save,
        table=names,
        format=texts,
        path=maybe_text,
        mode=st.sampled_from(["overwrite", "append", "errorIfExists", "ignore"]),
        options=options,
        partition_by=st.lists(names, max_size=2).map(tuple),
    ),
}


@settings(max_examples=30)  # each has every kind of statement
@given(st.builds(Plan, job_id=texts, statements=st.tuples(*statements.values())))
def test_a_plan_of_all_six_statements_survives_json(plan: Plan) -> None:
    text = dump_plan(plan)
    assert load_plan(text) == plan
    assert [document["kind"] for document in json.loads(text)["statements"]] == list(statements)


@given(st.lists(st.one_of(*statements.values()), max_size=4), texts)
def test_a_plan_of_any_statements_survives_json_and_bytes(chosen: list[Any], job_id: str) -> None:
    plan = Plan(job_id=job_id, statements=tuple(chosen))
    assert load_plan(dump_plan(plan).encode()) == plan


def plan_document() -> dict[str, Any]:
    plan = Plan(
        job_id="job-1",
        statements=(
            Load(table="data", format="libsvm", path="/d"),
            Train(table="data", model_path="/m", script_path="t.py", fit_params=({"a": "1"},)),
        ),
    )
    document: dict[str, Any] = json.loads(dump_plan(plan))
    return document


def put(*path: Any) -> Callable[[Any], None]:
    """Set the last but one of ``path`` to the last."""

    def change(document: Any) -> None:
        *way, key, value = path
        for step in way:
            document = document[step]
        document[key] = value

    return change


def drop(*path: Any) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        *way, key = path
        for step in way:
            document = document[step]
        del document[key]

    return change


@pytest.mark.parametrize(
    ("change", "fragment"),
    [
        (put("statements", 1, "model_paht", "/m"), ["statements[1]", "Train", "'model_paht'", "did you mean 'model_path'"]),
        (put("statements", 1, "python", "timout", 3), ["statements[1].python", "'timout'", "did you mean 'timeout'"]),
        (put("zzz", 1), ["plan.json", "Plan", "'zzz'", "job_id"]),
        (put("kind", "plan"), ["Plan", "'kind'"]),
        (drop("statements", 0, "table"), ["statements[0]", "Load", "lacks", "'table'"]),
        (drop("statements", 1, "python", "envs"), ["statements[1].python", "lacks", "'envs'"]),
        (drop("statements", 0, "kind"), ["statements[0]", "kind is None"]),
        (put("statements", 0, "kind", "selct"), ["statements[0]", "'selct'", "did you mean 'select'"]),
        (put("statements", 0, "kind", ["load"]), ["statements[0]", "kind is ['load']"]),
        (put("statements", 0, "load"), ["statements[0]"]),
        (put("statements", {}), ["plan.json.statements", "expected a list"]),
        (put("statements", 0, "table", 3), ["statements[0].table", "expected str", "got 3"]),
        (put("statements", 0, "table", None), ["statements[0].table", "expected str", "got None"]),
        (put("statements", 0, "options", []), ["statements[0].options", "expected an object"]),
        (put("statements", 0, "options", {"a": 1}), ["statements[0].options.a", "expected str", "got 1"]),
        (put("statements", 1, "fit_params", [{}, 7]), ["statements[1].fit_params[1]", "expected an object", "got 7"]),
        (put("statements", 1, "greater_is_better", 1), ["greater_is_better", "expected bool", "got 1"]),
        (put("statements", 1, "keep_versions", True), ["keep_versions", "expected int", "got True"]),
        (put("statements", 1, "keep_versions", 2.0), ["keep_versions", "expected int", "got 2.0"]),
        (put("statements", 1, "validate_fraction", "0.5"), ["validate_fraction", "expected float", "got '0.5'"]),
        (put("statements", 1, "validate_fraction", 10**400), ["validate_fraction", "expected float", "got 1000"]),
        (put("statements", 1, "fail_on", "some"), ["fail_on", "'all' or 'any'", "got 'some'"]),
        (put("statements", 1, "python", None), ["statements[1].python", "PythonEnv", "got None"]),
    ],
)
def test_a_plan_that_is_not_one_is_refused_with_the_place(change: Callable[[Any], None], fragment: list[str]) -> None:
    document = plan_document()
    change(document)
    with pytest.raises(FormatError) as caught:
        load_plan(json.dumps(document))
    assert [part for part in fragment if part not in caught.value.message] == []


@pytest.mark.parametrize("found", [0, PLAN_VERSION + 1, str(PLAN_VERSION), None, True])
def test_another_version_is_refused_naming_both(found: Any) -> None:
    document = plan_document() | {"plan_version": found, "a field of the future": 1}
    with pytest.raises(FormatError) as caught:
        load_plan(json.dumps(document))
    if found is not True:
        assert caught.value.facts == {"found": found, "supported": PLAN_VERSION}


@pytest.mark.parametrize("text", ["", "{", "null", "[]", '"plan"', b"\xff\xfe"])
def test_text_other_than_a_plan_is_refused(text: str | bytes) -> None:
    with pytest.raises(FormatError, match=r"work/plan\.json"):
        load_plan(text, "work/plan.json")


def test_a_long_wrong_value_is_shortened() -> None:
    document = plan_document()
    document["statements"] = "x" * 10_000
    with pytest.raises(FormatError) as caught:
        load_plan(json.dumps(document))
    assert len(caught.value.message) < 200


def test_a_value_that_a_statement_refuses_is_an_input_error() -> None:
    document = plan_document()
    document["statements"][0]["table"] = "no identifier"
    with pytest.raises(InputError, match="no identifier"):
        load_plan(json.dumps(document))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_infinities_are_not_written(value: float) -> None:
    with pytest.raises(FormatError, match="finite"):
        codec.dumps({"a": [value]})


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_nan_and_infinities_are_not_read(value: str) -> None:
    text = json.dumps(plan_document()).replace('"timeout": null', f'"timeout": {value}')
    with pytest.raises(FormatError, match=r"plan\.json"):
        load_plan(text)


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        (b"[" * 100_000, "not JSON"),
        (b'{"anything": ' * 100_000, "not JSON"),
        (b'{"anything": {"a": 1e999}}', "1e999 is not a JSON number"),
        (b'{"anything": {"a": %s}}' % (b"7" * 5000), "not JSON"),
        (b'{"anything": {"a": "\xed\xa0\x80"}}', "not JSON"),
        (rb'{"anything": {"a": "\ud800"}}', "surrogates not allowed"),
        (b'{"anything": {"a": %s}}' % (b"[" * 200 + b"]" * 200), "nested more than 100 deep"),
        (b'{"anything": {}, "when": "2026-01-01T00:00:00"}', "an ISO 8601 time with its zone, got '2026-01-01T00:00:00'"),
        (b'{"anything": {}, "when": "0001-01-01T00:00:00+23:59"}', "an ISO 8601 time, got"),
        (b'{"%s": {}}' % (b"x" * 100_000), "has no field 'xxx"),
        (b'{"anything": {}, "rest": {"%s": 1}}' % (b"x" * 100_000), "expected str"),
    ],
)
def test_what_could_not_be_written_again_is_refused_in_a_short_message(text: bytes, fragment: str) -> None:
    with pytest.raises(FormatError) as caught:
        codec.loads(Loose, text, "loose.json")
    assert caught.value.message.startswith("loose.json")
    assert fragment in caught.value.message
    assert len(caught.value.message) < 1000
    caught.value.message.encode()


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert codec.loads(Loose, rb'{"anything": {"a": "\ud83d\ude00"}}', "loose.json").anything == {"a": "\U0001f600"}


def test_text_that_is_not_unicode_is_not_written() -> None:
    with pytest.raises(FormatError, match=r"not Unicode .*udcff.*rename it"):
        codec.dumps({"path": "model/\udcff"})


def test_what_a_statement_refuses_names_the_document_and_the_place() -> None:
    document = plan_document()
    document["statements"][1]["keep_versions"] = 0
    with pytest.raises(FormatError, match=r"^work/plan\.json\.statements\[1\]: keepVersions is 0"):
        load_plan(json.dumps(document), "work/plan.json")


@dataclass(frozen=True, kw_only=True)
class Loose:
    anything: Mapping[str, Any]
    when: datetime | None = field(default=None, metadata=codec.ADDED)
    rest: Mapping[str, str] = field(default_factory=dict, metadata=codec.ADDED)


@dataclass(frozen=True)
class Circle:
    tag: ClassVar[str] = "circle"
    radius: float


@dataclass(frozen=True)
class Square:
    tag: ClassVar[str] = "square"
    side: float


@dataclass(frozen=True)
class Drawing:
    shape: Circle | Square | None
    more: tuple[Circle | Square, ...]
    size: int | str
    unit: Literal["mm", "inch"]
    drawn: datetime
    anything: Mapping[str, Any]


DRAWING = Drawing(
    shape=Square(2.0),
    more=(Circle(1.0), Square(3.5)),
    size=3,
    unit="mm",
    drawn=datetime(2024, 2, 29, 23, 59, 59, 5, tzinfo=timezone.utc),
    anything={"a": [1, None, {"b": True}]},
)


@pytest.mark.parametrize(
    "changed",
    [{}, {"shape": None}, {"shape": {"kind": "circle", "radius": 1}}, {"size": "large"}, {"unit": "inch"}, {"more": []}],
)
def test_unions_literals_and_times_survive_json(changed: dict[str, Any]) -> None:
    document = codec.encode(DRAWING) | changed
    drawing = codec.decode(Drawing, document, "drawing")
    assert codec.decode(Drawing, json.loads(codec.dumps(drawing)), "drawing") == drawing


def test_a_tag_chooses_the_class() -> None:
    drawing = codec.decode(Drawing, codec.encode(DRAWING) | {"shape": {"kind": "circle", "radius": 1}}, "drawing")
    assert drawing.shape == Circle(1.0)
    assert isinstance(drawing.shape, Circle)
    assert isinstance(drawing.shape.radius, float)


@pytest.mark.parametrize(
    ("changed", "fragment"),
    [
        ({"shape": {"kind": "circel", "radius": 1}}, "did you mean 'circle'"),
        ({"shape": {"kind": "circle", "side": 1}}, "Circle has no field 'side'"),
        ({"shape": {"radius": 1}}, "kind is None"),
        ({"more": [None]}, r"drawing.more\[0\]"),
        ({"size": 1.5}, "expected int or str, got 1.5"),
        ({"drawn": "yesterday"}, "drawing.drawn: expected an ISO 8601 time, got 'yesterday'"),
        ({"drawn": 5}, "drawing.drawn: expected an ISO 8601 time, got 5"),
        ({"unit": []}, "'mm' or 'inch'"),
    ],
)
def test_a_wrong_union_literal_or_time_is_refused(changed: dict[str, Any], fragment: str) -> None:
    with pytest.raises(FormatError, match=fragment):
        codec.decode(Drawing, codec.encode(DRAWING) | changed, "drawing")


@dataclass(frozen=True)
class Grown:
    name: str
    note: str | None = field(default="none", metadata=codec.ADDED)


def test_a_document_from_before_a_field_was_added_is_readable() -> None:
    assert codec.loads(Grown, '{"name": "a"}', "the document") == Grown("a", "none")
    assert codec.loads(Grown, codec.dumps(Grown("a", None)), "the document") == Grown("a", None)
    with pytest.raises(FormatError, match="Grown lacks the field 'name'"):
        codec.loads(Grown, '{"note": "b"}', "the document")
