"""Predict texts with the pipeline that train_text.py saved. A batch script: JSON lines in, JSON lines out.

A function in SQL can do the same for a version with feature columns: see docs/how-to/functions.md.
"""

import json

import mlsql
import mlsql_model

places = mlsql.internal_system_param
model = mlsql_model.load(places["tempModelLocalPath"])


def predict(lines, output):
    rows = [json.loads(line) for line in lines]
    for row, label in zip(rows, model.predict([row["text"] for row in rows]), strict=True):
        output.write(json.dumps({**row, "prediction": label}) + "\n")


with open(places["tempDataLocalPath"]) as data, open(places["tempOutputLocalPath"], "w") as output:
    while lines := data.readlines(1 << 20):
        predict(lines, output)
