# The training script of MLSQL's manual for PythonAlg, as users have it.
import mlsql_model
import mlsql
import os
import json
from pyspark.ml.linalg import Vectors
from sklearn.naive_bayes import MultinomialNB

clf = MultinomialNB()

mlsql.sklearn_configure_params(clf)

tempDataLocalPath = mlsql.internal_system_param["tempDataLocalPath"]

print(tempDataLocalPath)

files = [file for file in os.listdir(tempDataLocalPath) if file.endswith(".json")]
res = []
res_label = []
for file in files:
    with open(tempDataLocalPath + "/" + file) as f:
        for line in f.readlines():
            obj = json.loads(line)
            f_size = obj["features"]["size"]
            f_indices = obj["features"]["indices"]
            f_values = obj["features"]["values"]
            res.append(Vectors.sparse(f_size, f_indices, f_values).toArray())
            res_label.append(obj["label"])


def train(X, y, label_size):
    clf.partial_fit(X, y, classes=range(label_size))


train(res, res_label, 2)

X_test, y_test = mlsql.get_validate_data()

if len(X_test) > 0:
    testset_score = clf.score(X_test, y_test)
    print("mlsql_validation_score:%f" % testset_score)

isp = mlsql.params()["internalSystemParam"]
tempModelLocalPath = isp["tempModelLocalPath"] if "tempModelLocalPath" in isp else "/tmp/"
mlsql_model.sk_save_model(clf)
