"""Predict with columns: the function returns a struct of the label and its probability."""

import pandas as pd
import python_fun


def predict(frame, model):
    """Return a label and its probability for each row of the feature columns."""
    chances = model.predict_proba(frame)
    return pd.DataFrame({"label": model.classes_[chances.argmax(axis=1)], "probability": chances.max(axis=1)})


python_fun.batch_udf(predict, input="frame", returns="struct<label: string, probability: double>")
