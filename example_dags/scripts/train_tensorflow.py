"""Train a network in plain TensorFlow: epoch after epoch over the table, batch by batch, from files or through Kafka alike."""

import mlsql
import mlsql_model
import numpy as np
import tensorflow as tf


def param(name, default):
    return type(default)(mlsql.get_param(mlsql.fit_param, name, default))


class Network(tf.Module):
    def __init__(self, width, hidden, labels, scale):
        super().__init__()
        self.scale = scale
        self.inner = tf.Variable(tf.random.normal((width, hidden), stddev=width**-0.5))
        self.outer = tf.Variable(tf.random.normal((hidden, labels), stddev=hidden**-0.5))
        self.bias = tf.Variable(tf.zeros(labels))

    def logits(self, X):
        return tf.nn.relu(X / self.scale @ self.inner) @ self.outer + self.bias

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32)])  # so it can be called when it is loaded
    def predict(self, X):
        return tf.nn.softmax(self.logits(X))


@tf.function(reduce_retracing=True)
def learn(network, X, y, rate):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, network.logits(X)))
    gradients = tape.gradient(loss, network.trainable_variables)
    for variable, gradient in zip(network.trainable_variables, gradients, strict=True):
        variable.assign_sub(rate * gradient)
    return loss


tf.random.set_seed(param("seed", 1))
X_test, y_test = mlsql.get_validate_data()
network, score = None, None
for epoch in range(1, param("epochs", 5) + 1):
    losses = []
    for X, y in mlsql.read_batches(param("batchSize", 100), sparse=False):
        if network is None:
            network = Network(X.shape[1], param("hidden", 32), param("labelSize", 2), param("scale", 1.0))
        loss = learn(network, tf.constant(X, tf.float32), tf.constant(y, tf.int32), param("rate", 0.5))
        losses.append(loss.numpy())
    metrics = {"loss": np.mean(losses)}
    if len(X_test) > 0:
        answers = network.predict(tf.constant(X_test, tf.float32)).numpy()
        metrics["validation_accuracy"] = score = np.mean(answers.argmax(axis=1) == y_test)
    mlsql.report(step=epoch, **metrics)

if score is not None:
    print("mlsql_validation_score:%f" % score)

mlsql_model.tf_save_model(network)
