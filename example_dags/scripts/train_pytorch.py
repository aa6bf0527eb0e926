"""Train a network with PyTorch: epoch after epoch over the table, batch by batch, from files or through Kafka alike."""

import os

import mlsql
import mlsql_model
import numpy as np
import torch


def param(name, default):
    return type(default)(mlsql.get_param(mlsql.fit_param, name, default))


def tensor(X):
    return torch.from_numpy(X.astype("float32"))


torch.manual_seed(param("seed", 1))
scale, hidden, labels = param("scale", 1.0), param("hidden", 32), param("labelSize", 2)
X_test, y_test = mlsql.get_validate_data()
network, score = None, None
for epoch in range(1, param("epochs", 5) + 1):
    losses = []
    for X, y in mlsql.read_batches(param("batchSize", 100), sparse=False):
        if network is None:
            width = X.shape[1]
            network = torch.nn.Sequential(torch.nn.Linear(width, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, labels))
            optimizer = torch.optim.Adam(network.parameters(), lr=param("rate", 0.001))
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(tensor(X / scale)), torch.from_numpy(y.astype("int64")))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    metrics = {"loss": np.mean(losses)}
    if len(X_test) > 0:
        with torch.no_grad():
            answers = network(tensor(X_test / scale)).numpy()
        metrics["validation_accuracy"] = score = np.mean(answers.argmax(axis=1) == y_test)
    mlsql.report(step=epoch, **metrics)

if score is not None:
    print("mlsql_validation_score:%f" % score)

sizes = {"width": width, "hidden": hidden, "labels": labels, "scale": scale}
torch.save({**sizes, "weights": network.state_dict()}, os.path.join(mlsql_model.model_dir(), "model.pt"))
