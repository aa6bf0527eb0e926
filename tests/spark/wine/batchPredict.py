import json
import os
import pickle

import mlsql

isp = mlsql.params()["internalSystemParam"]
model = pickle.load(open(isp["tempModelLocalPath"] + "/model.pkl", "rb"))

with open(isp["tempOutputLocalPath"], "w") as output:
    with open(isp["tempDataLocalPath"]) as rows:
        for line in rows.readlines():
            row = json.loads(line)
            features = [value for name, value in row.items() if name != "quality"]
            y = model.predict([features])
            output.write(json.dumps({"predict": y.tolist(), "stage": os.environ.get("OMP_STAGE", "none")}) + "\n")
