"""Predict one row at a time with the model that the training script saved: vector in, vector out."""

import pickle

import mlsql_model
import python_fun
from pyspark.ml.linalg import Vectors, VectorUDT


def predict(index, s):
    row, directory, *_ = s
    model = mlsql_model.load(pickle.loads(directory)[0])  # loaded once per Python worker
    features = VectorUDT().deserialize(pickle.loads(row))
    return [VectorUDT().serialize(Vectors.dense(model.predict([features.toArray()])))]


python_fun.udf(predict)
