from airflow.sdk import DAG, Param

from airflow_provider_mlsql.operators.register import MLSQLRegisterOperator
from airflow_provider_mlsql.operators.script import MLSQLScriptOperator
from airflow_provider_mlsql.operators.train import MLSQLTrainOperator
from airflow_provider_mlsql.sensors.model import MLSQLModelSensor

PARAMS = {name: Param(type="string") for name in ("model_path", "train", "predict", "data")}
RETRAIN = """
load libsvm.`${data}` as data;
train data as PythonAlg.`${model}` where pythonScriptPath="${train}" and fitParam.0.score="0.94";
train data as PythonAlg.`${model}` where pythonScriptPath="${train}" and fitParam.0.score="1.5";
train data as PythonAlg.`${model}` where pythonScriptPath="${train}" and fitParam.0.score="";
"""

with DAG("trains_spam", schedule=None, params=PARAMS):
    usual = {
        "model_path": "{{ params.model_path }}",
        "python_script_path": "{{ params.predict }}",
        "function_name": "jack",
        "only_if_better": 0,
        "on_refused": "skip",
    }
    train = MLSQLTrainOperator(
        task_id="train",
        model_path="{{ params.model_path }}",
        python_script_path="{{ params.train }}",
        data="libsvm.`{{ params.data }}`",
        validate_data=0.3,
        fit_params=[{"score": 1.0, "alpha": 0.1}, {"score": 0.5, "alpha": 1.0}, {"score": 0.75, "alpha": 0.5}],
        description="the first <i>model</i>",
    )
    retrain = MLSQLScriptOperator(  # its last training fails
        task_id="retrain",
        script=RETRAIN,
        variables={"data": "{{ params.data }}", "model": "{{ params.model_path }}", "train": "{{ params.train }}"},
    )
    register = [
        MLSQLRegisterOperator(task_id=f"register_{version}", model_version=version, trigger_rule="all_done", **usual)
        for version in (1, 2, 3)
    ]
    wait = MLSQLModelSensor(
        task_id="wait", model_path="{{ params.model_path }}", min_version=4, trigger_rule="all_done", timeout=60
    )
    train >> register[0] >> retrain >> register[1] >> register[2] >> wait
