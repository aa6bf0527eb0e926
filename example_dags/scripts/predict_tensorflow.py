"""Predict with a TensorFlow module: for each row the probabilities of the classes."""

import python_fun


def predict(X, model):  # model: the SavedModel; its functions have the names that the module gave them
    return model.predict(X.astype("float32")).numpy()


python_fun.batch_udf(predict, sparse=False)
