"""Our contract over columns: a DataFrame in, a number for each of its rows out."""

import python_fun


def predict(X, model):
    return model.predict(X)


python_fun.batch_udf(predict, input="frame", returns="double")
