"""Our contract over columns of numbers: a matrix in, a number for each of its rows out."""

import os
import pickle

import python_fun


def load(directory):
    with open(os.path.join(directory, "model.pickle"), "rb") as file:
        model = pickle.load(file)
    del model.feature_names_in_  # it was fitted on a DataFrame with the columns in this order
    return model


def predict(X, model):
    return model.predict(X)


python_fun.batch_udf(predict, load=load, returns="double")
