"""The row contract as scripts of MLSQL often have it: the model is loaded for each row."""

import pickle

import python_fun
from pyspark.ml.linalg import Vectors, VectorUDT


def predict(index, s):
    row, directory, *_ = s
    with open(pickle.loads(directory)[0] + "/model.pickle", "rb") as file:
        model = pickle.load(file)
    features = VectorUDT().deserialize(pickle.loads(row))
    return [VectorUDT().serialize(Vectors.dense(model.predict([features.toArray()])))]


python_fun.udf(predict)
