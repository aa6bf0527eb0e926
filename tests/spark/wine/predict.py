import pickle

import python_fun
from pyspark.ml.linalg import Vectors, VectorUDT


def predict(index, s):
    items = [i for i in s]
    features = VectorUDT().deserialize(pickle.loads(items[0]))
    directory = pickle.loads(items[1])[0]
    with open(directory + "/model.pkl", "rb") as file:
        model = pickle.load(file)
    y = model.predict([features.toArray()])
    return [VectorUDT().serialize(Vectors.dense(y))]


python_fun.udf(predict)
