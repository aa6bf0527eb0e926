"""Train on a table with named columns: numbers, text, missing values and a label that is text.

The script reads data frames; the function ``churn`` is called with columns by their names, and returns a struct.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, task

from airflow_provider_mlsql.operators.predict import MLSQLPredictOperator
from airflow_provider_mlsql.operators.register import MLSQLRegisterOperator
from airflow_provider_mlsql.operators.train import MLSQLTrainOperator


@task
def make_customers(path: str, rows: int) -> str:
    """Write a table of customers who never existed, and return its path."""
    from pathlib import Path

    import numpy as np
    import pandas as pd

    random = np.random.default_rng(7)
    income = random.lognormal(10, 0.5, rows).round(2)
    income[random.random(rows) < 0.1] = np.nan  # not everybody tells
    plan = random.choice(["basic", "family", "premium"], rows)
    months = random.integers(1, 120, rows)
    calls = random.poisson(2, rows)
    leaves = calls * 0.8 - months * 0.04 + (plan == "basic") + random.normal(0, 0.5, rows) > 0.5
    customers = pd.DataFrame(
        {
            "id": np.arange(rows),
            "months": months,
            "calls": calls,
            "income": income,
            "plan": plan,
            "churned": np.where(leaves, "yes", "no"),
        }
    )
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    customers.to_parquet(path)
    return path


with DAG(
    "mlsql_columns",
    description="A table with named columns: data frames in the script, columns by name in SQL",
    schedule=None,
    catchup=False,
    render_template_as_native_obj=True,
    tags=["mlsql", "example"],
    doc_md=__doc__,
    params={
        "data_path": Param(
            "/tmp/mlsql/customers.parquet", type="string", title="Customers", description="A Parquet file to write."
        ),
        "rows": Param(2000, type="integer", allOf=[{"minimum": 100}], title="Number of customers"),
        "model_path": Param("/tmp/mlsql/churn_model", type="string", title="Model path"),
        "output_path": Param("/tmp/mlsql/churn_predictions", type="string", title="Predictions", description="A folder."),
    },
):
    customers = make_customers("{{ params.data_path }}", "{{ params.rows }}")
    DATA = {"format": "parquet", "path": "{{ params.data_path }}"}

    train = MLSQLTrainOperator(
        task_id="train",
        data=DATA,
        feature_columns=["months", "calls", "income", "plan"],
        label_column="churned",
        model_path="{{ params.model_path }}",
        python_script_path="scripts/train_churn.py",
        fit_params=[{"C": 1.0}, {"C": 0.01}],
        validate_data=0.2,
        stratify=True,
        fit_timeout=600,
    )

    register = MLSQLRegisterOperator(
        task_id="register",
        model_path="{{ params.model_path }}",
        model_version="{{ ti.xcom_pull('train')['version'] }}",
        function_name="churn",
        python_script_path="scripts/predict_churn.py",
    )

    predict = MLSQLPredictOperator(
        task_id="predict",
        data=DATA,
        functions=register.output,
        sql="""
            select id, predicted.probability
            from (select id, churn(struct(*)) as predicted from data)
            where predicted.label = 'yes'
        """,
        output={"format": "parquet", "path": "{{ params.output_path }}"},
    )

    customers >> train >> register >> predict
