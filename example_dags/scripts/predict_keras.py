"""Predict with a Keras model: for each row the probabilities of the classes."""

import python_fun


def predict(X, model):  # X: (n, d), an ndarray; all its rows go through the network at once
    return model.predict_on_batch(X)


python_fun.batch_udf(predict, sparse=False)
