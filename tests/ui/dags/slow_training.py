from airflow.sdk import DAG, Param

from airflow_provider_mlsql.operators.train import MLSQLTrainOperator

with DAG("slow_training", schedule=None, params={"model_path": Param(type="string"), "data": "", "script": ""}):
    MLSQLTrainOperator(
        task_id="train",
        model_path="{{ params.model_path }}",
        python_script_path="{{ params.script }}",
        data="libsvm.`{{ params.data }}`",
        conf={"spark.ui.enabled": "true"},  # which tests turn off
    )
