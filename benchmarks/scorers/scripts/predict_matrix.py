"""Our contract over columns of numbers: a matrix in, a number for each of its rows out."""

import python_fun


def predict(X, model):
    model.__dict__.pop("feature_names_in_", None)  # it was fitted on a DataFrame with the columns in this order
    return model.predict(X)


python_fun.batch_udf(predict, returns="double")
