"""Predict with the model that the training script saved, many rows at a time: vectors in, vectors out."""

import python_fun


def predict(X, model):  # X: (n, d), NumPy or SciPy CSR as the vectors are; model: what mlsql_model saved
    return model.predict(X)


python_fun.batch_udf(predict)
