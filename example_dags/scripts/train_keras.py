"""Train a network with Keras: epoch after epoch over the table, batch by batch, whether it comes as files or through Kafka."""

import keras
import mlsql
import mlsql_model
import numpy as np


def param(name, default):
    return type(default)(mlsql.get_param(mlsql.fit_param, name, default))


keras.utils.set_random_seed(param("seed", 1))
model = keras.Sequential(
    [
        keras.layers.Rescaling(1 / param("scale", 1.0)),
        keras.layers.Dense(param("hidden", 32), activation="relu"),
        keras.layers.Dense(param("labelSize", 2), activation="softmax"),
    ]
)
model.compile(keras.optimizers.Adam(param("rate", 0.001)), "sparse_categorical_crossentropy", metrics=["accuracy"])

X_test, y_test = mlsql.get_validate_data()
score = None
for epoch in range(1, param("epochs", 5) + 1):
    losses = []
    for X, y in mlsql.read_batches(param("batchSize", 100), sparse=False):
        loss, accuracy = model.train_on_batch(X, y)
        losses.append(loss)
    metrics = {"loss": np.mean(losses)}
    if len(X_test) > 0:
        metrics["validation_loss"], score = model.evaluate(X_test, y_test, verbose=0)
        metrics["validation_accuracy"] = score
    mlsql.report(step=epoch, **metrics)

if score is not None:
    print("mlsql_validation_score:%f" % score)

mlsql_model.keras_save_model(model)
