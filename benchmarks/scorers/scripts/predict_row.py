"""The row contract, as the docs show it: the model is loaded once per Python worker."""

import pickle

import mlsql_model
import python_fun
from pyspark.ml.linalg import Vectors, VectorUDT


def predict(index, s):
    row, directory, *_ = s
    model = mlsql_model.load(pickle.loads(directory)[0])
    features = VectorUDT().deserialize(pickle.loads(row))
    return [VectorUDT().serialize(Vectors.dense(model.predict([features.toArray()])))]


python_fun.udf(predict)
