"""Pages of the API server: the manifests of the model versions that a task names."""
