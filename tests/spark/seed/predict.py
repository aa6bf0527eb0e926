# The predict script of MLSQL's manual for PythonAlg; the model file is opened in binary mode, as Python 3 wants it.
from pyspark.ml.linalg import VectorUDT, Vectors
import pickle
import python_fun


def predict(index, s):
    items = [i for i in s]
    feature = VectorUDT().deserialize(pickle.loads(items[0]))
    model = pickle.load(open(pickle.loads(items[1])[0] + "/model.pickle", "rb"))
    y = model.predict([feature.toArray()])
    return [VectorUDT().serialize(Vectors.dense(y))]


python_fun.udf(predict)
