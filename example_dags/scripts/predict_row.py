"""Predict one row at a time with a pickled scikit-learn model: vector in, vector out."""

import pickle

import python_fun
from pyspark.ml.linalg import Vectors, VectorUDT

models = {}


def predict(index, s):
    row, directory, *_ = s
    features = VectorUDT().deserialize(pickle.loads(row))
    path = pickle.loads(directory)[0]
    if path not in models:  # loaded once per Python worker
        with open(path + "/model.pickle", "rb") as file:
            models[path] = pickle.load(file)
    y = models[path].predict([features.toArray()])
    return [VectorUDT().serialize(Vectors.dense(y))]


python_fun.udf(predict)
