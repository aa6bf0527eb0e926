"""The register operator: arguments in, statements out, and what is refused before Spark starts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.operators import register

from airflow_provider_mlsql.operators.register import MLSQLRegisterOperator
from mlsql_runtime.errors import InputError
from mlsql_runtime.plan import Load, Register, with_author
from mlsql_runtime.result import RegisterResult, RunResult, to_xcom


def test_register() -> None:
    assert register().build_job().statements == (Register(model_path="/m", function="jack", script_path="/p.py"),)
    operator = register(
        model_version="3",
        alg_index="1",
        enable_copy_train_params_to_python=True,
        min_score="0.9",
        only_if_better=0.01,
        sample_data="json.`/s`",
    )
    assert operator.build_job().statements == (
        Load(table="sample", format="json", path="/s"),
        Register(
            model_path="/m",
            function="jack",
            script_path="/p.py",
            model_version=3,
            alg_index=1,
            copy_train_params=True,
            min_score=0.9,
            only_if_better=0.01,
            sample_table="sample",
        ),
    )


def test_what_to_do_when_refused_is_said_before_anything_runs() -> None:
    operator = register(on_refused="ignore")
    with pytest.raises(InputError, match="on_refused is 'ignore'; expected succeed, skip or fail"):
        operator.execute({})  # type: ignore[typeddict-item]
    assert "on_refused" in MLSQLRegisterOperator.template_fields


@pytest.mark.parametrize("value", [None, "", "None"])
def test_a_refusal_is_a_success_unless_on_refused_is_given(value: str | None) -> None:
    refused = RegisterResult(
        function="jack",
        registered=False,
        reason="its score is 0.5",
        model_path="/m",
        version=1,
        alg_index=0,
        score=0.5,
        function_version=None,
    )
    operator = register(on_refused=value)
    assert operator.build_job() == register().build_job()
    assert operator.finish({}, RunResult(job_id="job", steps=(refused,))) == to_xcom(refused)  # type: ignore[typeddict-item]


def test_statements_are_signed_for_the_history_of_functions_only() -> None:
    made = register(sample_data="json.`/s`").build_job().statements
    assert with_author(made, "ann") == (made[0], replace(made[1], author="ann"))  # type: ignore[arg-type]
