from airflow.sdk import DAG, Param, task

with DAG("names_models", schedule=None, params={"one": Param({}, type="object"), "many": Param([], type="array")}):

    @task
    def one(params):
        return params["one"]

    @task
    def listed(params):
        return params["many"]

    @task
    def mapped(value):
        return value

    one()
    mapped.expand(value=listed())
