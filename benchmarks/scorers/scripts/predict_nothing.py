"""The row contract without a model: what the protocol itself takes."""

import pickle

import python_fun
from pyspark.ml.linalg import Vectors, VectorUDT


def predict(index, s):
    row, directory, *_ = s
    pickle.loads(row), pickle.loads(directory)
    return [VectorUDT().serialize(Vectors.dense([1.0]))]


python_fun.udf(predict)
