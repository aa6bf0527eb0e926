"""Our batch contract: a matrix in, an answer for each of its rows out."""

import python_fun


def predict_batch(X, model):
    return model.predict(X)


python_fun.batch_udf(predict_batch)
