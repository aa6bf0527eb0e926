# A project as MLSQL's documents show them: it reads a table of its own, and not the one of the statement.
import os
import pickle
import sys

import mlsql
import pandas as pd
from sklearn.linear_model import ElasticNet

if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    wine = pd.read_csv(os.path.join(here, "wine.csv"))
    X, y = wine.drop(["quality"], axis=1), wine["quality"]
    alpha = float(sys.argv[1]) if len(sys.argv) > 1 else 0.5
    l1_ratio = float(sys.argv[2]) if len(sys.argv) > 2 else 0.5
    model = ElasticNet(alpha=alpha, l1_ratio=l1_ratio, random_state=42)
    model.fit(X.values, y)

    directory = mlsql.params()["internalSystemParam"]["tempModelLocalPath"]
    if not os.path.exists(directory):
        os.makedirs(directory)
    with open(directory + "/model.pkl", "wb") as file:
        pickle.dump(model, file)
    print("mlsql_validation_score:%f" % model.score(X.values, y))
