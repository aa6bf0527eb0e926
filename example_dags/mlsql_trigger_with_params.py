"""Train, register and predict with the values of a form: trigger the DAG in the Airflow UI to see a field for every option.

A value that its field does not allow does not start a run: the form and the API refuse it with the message of the field's JSON
schema. The default values train on Spark's sample data. An empty field gives None, which the operators read as "not set":
templates are rendered to values, not to text (``render_template_as_native_obj``).
"""

from __future__ import annotations

import importlib.util
import os
from datetime import timedelta

from airflow.sdk import DAG, Param

from airflow_provider_mlsql.operators.predict import MLSQLPredictOperator
from airflow_provider_mlsql.operators.register import MLSQLRegisterOperator
from airflow_provider_mlsql.operators.train import MLSQLTrainOperator

PYSPARK = os.path.dirname(str(importlib.util.find_spec("pyspark").origin))
SAMPLE = os.path.join(PYSPARK, "data", "mllib", "sample_libsvm_data.txt")  # 100 rows, 692 features, two labels

FIT_GROUP = {
    "type": "object",
    "properties": {
        "alpha": {"type": "number", "exclusiveMinimum": 0},
        "fit_prior": {"type": "boolean"},
        "batchSize": {"type": "integer", "minimum": 1},
        "labelSize": {"type": "integer", "minimum": 2},
    },
    "required": ["alpha"],
    "additionalProperties": False,
}


def within(minimum: float, maximum: float) -> list[dict[str, float]]:
    """Return bounds for a param's allOf. The form changes a number beyond its own maximum to the maximum, and starts the run."""
    return [{"minimum": minimum, "maximum": maximum}]


DATA_FIELDS = {
    "data_format": Param(
        "libsvm",
        type="string",
        enum=["libsvm", "parquet", "orc"],
        values_display={"libsvm": "libsvm text", "parquet": "Parquet", "orc": "ORC"},
        title="Format",
        description="Parquet and ORC have a column label, and a column features of vectors.",
        section="Data",
    ),
    "data_path": Param(
        SAMPLE,
        type="string",
        pattern="/",
        title="Training data",
        description="A file or folder that Spark can read.",
        section="Data",
    ),
    "width": Param(
        692,
        type=["integer", "null"],
        allOf=within(1, 10_000_000),
        title="Number of features",
        description="Of libsvm data, 1 to 10,000,000. Empty: Spark reads all of them once more to find out.",
        section="Data",
    ),
    "query": Param(
        None,
        type=["string", "null"],
        format="multiline",
        title="Query",
        description_md="Which rows to train on, as SQL over the table `data`: "
        "`select label, features from data where vec_size(features) = 692`. Empty: all rows.",
        section="Data",
    ),
}

MODEL_FIELDS = {
    "model_path": Param(
        "/tmp/mlsql/form_model",
        type="string",
        pattern="/",
        title="Model path",
        description="Folder or URI that keeps the versions of the model.",
        section="Model",
    ),
    "function_name": Param(
        "jack",
        type="string",
        pattern="^(?!(None|True|False)$)[A-Za-z_][A-Za-z0-9_]*$",  # a template would take these for values
        maxLength=64,
        title="Function",
        description="Name of the function in SQL.",
        section="Model",
    ),
    "keep_versions": Param(
        5,
        type=["integer", "null"],
        allOf=within(1, 100),
        title="Versions to keep",
        description="The newest ones, 1 to 100, and those that functions need. Empty: all.",
        section="Model",
    ),
}

TRAINING_FIELDS = {
    "fit_params": Param(
        [{"alpha": 1.0, "batchSize": 30}, {"alpha": 0.01, "batchSize": 30}],
        type="array",
        items=FIT_GROUP,
        minItems=1,
        maxItems=16,
        title="Fit groups",
        description_md="A list of objects, one for each group: `alpha`, and perhaps `fit_prior`, `batchSize`, `labelSize`. "
        "The groups are trained in parallel; the best one is registered.",
        section="Training",
    ),
    "validate_fraction": Param(
        0.3,
        type="number",
        allOf=within(0.05, 0.9),
        title="Held-out fraction",
        description="This part of the rows, 0.05 to 0.9, is kept from training and gives the score.",
        section="Training",
    ),
    "timeout_minutes": Param(
        10,
        type="integer",
        allOf=within(1, 720),
        title="Minutes",
        description="A group that takes longer is ended: 1 to 720.",
        section="Training",
    ),
    "fail_on": Param(
        "all",
        type="string",
        enum=["all", "any"],
        values_display={"all": "when all groups failed", "any": "when one group failed"},
        title="The training fails",
        section="Training",
    ),
}

GATE_FIELDS = {
    "min_score": Param(
        0.9,
        type=["number", "null"],
        allOf=within(0, 1),
        title="Minimum score",
        description="A model with a lower score is not registered: 0 to 1. Empty: any score will do.",
        section="Gate",
    ),
    "only_if_better": Param(
        None,
        type=["number", "null"],
        allOf=within(0, 1),
        title="Better by",
        description="How much better than the function in use: 0 to 1; 0 is any better. Empty: it need not be better.",
        section="Gate",
    ),
    "on_refused": Param(
        "skip",
        type="string",
        enum=["skip", "succeed", "fail"],
        values_display={
            "skip": "do not predict",
            "succeed": "predict with the function in use",
            "fail": "the run fails",
        },
        title="When it is not registered",
        section="Gate",
    ),
}

PREDICTION_FIELDS = {
    "output_path": Param(
        "/tmp/mlsql/form_predictions",
        type="string",
        pattern="/",
        title="Predictions",
        description="Folder for the predictions of all rows, as Parquet; it is overwritten.",
        section="Prediction",
    ),
}

DATA = {
    "format": "{{ params.data_format }}",
    "path": "{{ params.data_path }}",
    "options": {"numFeatures": "{{ params.width }}"},  # other formats than libsvm pass over it
}

with DAG(
    "mlsql_trigger_with_params",
    description="A form in the UI: data, model, training, gate, prediction",
    schedule=None,
    catchup=False,
    render_template_as_native_obj=True,
    tags=["mlsql", "example"],
    doc_md=__doc__,
    params={**DATA_FIELDS, **MODEL_FIELDS, **TRAINING_FIELDS, **GATE_FIELDS, **PREDICTION_FIELDS},
):
    train = MLSQLTrainOperator(
        task_id="train",
        data=DATA,
        sql="{{ params.query }}",
        model_path="{{ params.model_path }}",
        python_script_path="scripts/train_bayes.py",
        fit_params="{{ params.fit_params }}",
        validate_data="{{ params.validate_fraction }}",
        fit_timeout="{{ params.timeout_minutes * 60 }}",
        fail_on="{{ params.fail_on }}",
        keep_versions="{{ params.keep_versions }}",
        execution_timeout=timedelta(hours=13),
    )

    register = MLSQLRegisterOperator(
        task_id="register",
        model_path="{{ params.model_path }}",
        model_version="{{ ti.xcom_pull('train')['version'] }}",
        function_name="{{ params.function_name }}",
        python_script_path="scripts/predict_bayes.py",
        min_score="{{ params.min_score }}",
        only_if_better="{{ params.only_if_better }}",
        on_refused="{{ params.on_refused }}",
    )

    predict = MLSQLPredictOperator(
        task_id="predict",
        data=DATA,
        functions=register.output,
        sql="select label, {{ params.function_name }}(features) as prediction from data",
        output={"format": "parquet", "path": "{{ params.output_path }}"},
    )

    train >> register >> predict
