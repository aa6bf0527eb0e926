"""Predict with a PyTorch network: for each row the probabilities of the classes."""

import os

import python_fun


def load(directory):  # once per Python worker
    import torch

    kept = torch.load(os.path.join(directory, "model.pt"), weights_only=True)
    width, hidden, labels = kept["width"], kept["hidden"], kept["labels"]
    network = torch.nn.Sequential(torch.nn.Linear(width, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, labels))
    network.load_state_dict(kept["weights"])
    return network.eval(), kept["scale"]


def predict(X, model):
    import torch

    network, scale = model
    with torch.no_grad():
        return torch.softmax(network(torch.from_numpy((X / scale).astype("float32"))), dim=1).numpy()


python_fun.batch_udf(predict, load, sparse=False)
